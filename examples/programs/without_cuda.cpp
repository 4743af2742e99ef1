// Replaces cuda.cu in a build without CUDA.
// SPDX-License-Identifier: MIT
#include "prediction.hpp"
#include "training.hpp"

namespace program {

bool has_cuda() { return false; }
std::string cuda_problem() {
  return "expected a build with CUDA for --device cuda, got one without: use --device cpu, or build with "
         "cmake --preset cuda";
}
std::vector<Fact> cuda_facts() { return {{"cuda", "not in this build (cmake --preset cuda)"}}; }
std::string cuda_architecture() { return {}; }
std::string cuda_description() { return {}; }

std::unique_ptr<tenon::AnySession> make_cuda_training(const std::string&, const tenon::SessionOptions&,
                                                      const DeviceChoice&) {
  throw tenon::Error("device", cuda_problem());
}
Outputs predict_on_cuda(const tenon::SafeTensors&, const tenon::ImageSet&, const ModelInfo&, const DeviceChoice&) {
  throw tenon::Error("device", cuda_problem());
}

}  // namespace program
