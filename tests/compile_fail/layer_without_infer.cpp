// The error for a layer without a member of the contract names the contract.
// expect: layer<0, Double>
// expect: a_layer_with_name_infer_forward_and_backward
// expect: see_docs_adding_a_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

struct Double {
  static constexpr const char* name = "Double";
#ifdef TENON_TWIN
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
#endif
  static void forward(auto& dev, const auto& at) {
    elementwise(dev, at.y, [&](auto i) { return 2 * at.x[i]; });
  }
  static void backward(auto& dev, const auto& at) {
    elementwise(dev, at.dx, [&](auto i) { return 2 * at.dy[i]; });
  }
};

int main() {
  Model<Sequential<Input<4>, Double>> model;
  return model.predict(1).batch;
}
