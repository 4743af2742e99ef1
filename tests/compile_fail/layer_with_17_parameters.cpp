// A layer has at most 16 parameters.
// expect: layer<1, Scale<17> ?>
// expect: at_most_16_parameters
// expect: got<17>
// expect: several_layers_or_one_larger_tensor
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

template <int N>
struct Scale {
  static constexpr const char* name = "Scale";
  static constexpr const char* names[17] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                            "j", "k", "l", "m", "n", "o", "p", "q"};
  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in);
    for (int i = 0; i < N; ++i) s = s.param(names[i], dims(1), constant(1));
    return s;
  }
  static void forward(auto&, const auto&) {}
  static void backward(auto&, const auto&) {}
};

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, Linear<8>, Scale<17>, Linear<3>>;
#else
using Net = Sequential<Input<4>, Linear<8>, Scale<16>, Linear<3>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
