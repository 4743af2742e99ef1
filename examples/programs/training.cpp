// Training of the four networks on the Cpu.
// SPDX-License-Identifier: MIT
#include "training_impl.hpp"

namespace program {

std::unique_ptr<tenon::AnySession> make_training(const std::string& model, const tenon::SessionOptions& options,
                                                 const DeviceChoice& device) {
  return device.cuda ? make_cuda_training(model, options, device) : make_training_on(device.cpu(), model, options);
}

}  // namespace program
