// A layer without forward is one error, which says what to add.
// expect: layer<1, Identity>
// expect: a_layer_with_name_infer_forward_and_backward
// expect: add_a_static_forward_and_see_docs_adding_a_layer
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

struct Identity {
  static constexpr const char* name = "Identity";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
#ifdef TENON_TWIN
  static void forward(auto& dev, const auto& at) { add_forward(dev, at.flat(at.x), at.flat(at.x), at.flat(at.y)); }
#endif
  static void backward(auto& dev, const auto& at) { accumulate(dev, at.flat(at.dy), at.flat(at.dx)); }
};

int main() {
  Model<Sequential<Input<4>, Linear<4>, Identity>> model;
  Trainer trainer(model, Adam{});
  return model.predict(1).batch;
}
