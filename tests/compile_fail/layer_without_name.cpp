// A layer without a name is one error, which says what to add.
// expect: layer<0, Identity>
// expect: a_layer_with_name_infer_forward_and_backward
// expect: add_a_name_and_see_docs_adding_a_layer
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

struct Identity {
#ifdef TENON_TWIN
  static constexpr const char* name = "Identity";
#endif
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  static void forward(auto& dev, const auto& at) { add_forward(dev, at.flat(at.x), at.flat(at.x), at.flat(at.y)); }
  static void backward(auto& dev, const auto& at) { accumulate(dev, at.flat(at.dy), at.flat(at.dx)); }
};

int main() {
  Model<Sequential<Input<4>, Identity, Linear<4>>> model;
  return model.predict(1).batch;
}
