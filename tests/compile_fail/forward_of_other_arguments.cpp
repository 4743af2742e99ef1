// A forward that the plan cannot call is one error.
// expect: Identity
// expect: static_forward_of_device_and_context
// expect: see_docs_adding_a_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

struct Identity {
  static constexpr const char* name = "Identity";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
#ifndef TENON_TWIN
  void
#else
  static void
#endif
  forward(auto& dev, const auto& at) {
    add_forward(dev, at.flat(at.x), at.flat(at.x), at.flat(at.y));
  }
  static void backward(auto& dev, const auto& at) { accumulate(dev, at.flat(at.dy), at.flat(at.dx)); }
};

int main() {
  Model<Sequential<Input<4>, Identity, Linear<4>>> model;
  Trainer trainer(model, Adam{});
  return model.predict(1).batch;
}
