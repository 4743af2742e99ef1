// The four networks' trainers on the Cpu.
// SPDX-License-Identifier: MIT
#include "training_of.hpp"

namespace program {

std::unique_ptr<Training> make_training(const TrainingOptions& options, const DeviceChoice& device) {
  return device.cuda ? make_cuda_training(options, device) : make_training_on(device.cpu(), options);
}

}  // namespace program
