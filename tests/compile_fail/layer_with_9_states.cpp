// A layer has at most 8 states, counters included.
// expect: layer<0, Track<8> ?>
// expect: at_most_8_states
// expect: got<9>
// expect: several_layers_or_one_larger_tensor
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

template <int N>
struct Track {
  static constexpr const char* name = "Track";
  static constexpr const char* names[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};
  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in).counter("steps");
    for (int i = 0; i < N; ++i) s = s.state(names[i], dims(1), constant(0));
    return s;
  }
  static void forward(auto&, const auto&) {}
  static void backward(auto&, const auto&) {}
};

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, Track<8>, Linear<3>>;
#else
using Net = Sequential<Input<4>, Track<7>, Linear<3>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
