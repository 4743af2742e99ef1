// A layer saves at most 8 values for backward.
// expect: layer<0, Remember<9> ?>
// expect: at_most_8_saved_values
// expect: got<9>
// expect: several_layers_or_one_larger_tensor
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

template <int N>
struct Remember {
  static constexpr const char* name = "Remember";
  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in);
    for (int i = 0; i < N; ++i) s = s.save(4);
    return s;
  }
  static void forward(auto&, const auto&) {}
  static void backward(auto&, const auto&) {}
};

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, Remember<9>, Linear<3>>;
#else
using Net = Sequential<Input<4>, Remember<8>, Linear<3>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
