// A backward that the plan cannot call is one error.
// expect: Identity
// expect: static_backward_of_device_and_context
// expect: see_docs_adding_a_layer
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

struct Identity {
  static constexpr const char* name = "Identity";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  static void forward(auto& dev, const auto& at) { add_forward(dev, at.flat(at.x), at.flat(at.x), at.flat(at.y)); }
#ifndef TENON_TWIN
  static void backward(const auto& at) {}
#else
  static void backward(auto& dev, const auto& at) { accumulate(dev, at.flat(at.dy), at.flat(at.dx)); }
#endif
};

int main() {
  Model<Sequential<Input<4>, Linear<4>, Identity>> model;
  Trainer trainer(model, Adam{});
  const float x[4] = {};
  const int label = 0;
  return trainer.step(x, &label, 1).loss() > 0;
}
