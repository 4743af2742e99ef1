// A layer's output has one to three dimensions.
// expect: layer<0, Split<1> ?>
// expect: one_to_three_dimensions
// expect: got<1, 2, 2, 2>
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

template <int... Extra>
struct Split {
  static constexpr const char* name = "Split";
  static constexpr LayerSpec infer(Dims) { return LayerSpec::to(dims(Extra..., 2, 2, 2)); }
  static void forward(auto&, const auto&) {}
  static void backward(auto&, const auto&) {}
};

#ifndef TENON_TWIN
using Net = Sequential<Input<8>, Split<1>, Flatten>;
#else
using Net = Sequential<Input<8>, Split<>, Flatten>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
