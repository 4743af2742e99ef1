// Predictions of the four networks on the Cpu.
// SPDX-License-Identifier: MIT
#include "prediction_impl.hpp"

namespace program {

Outputs predict(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                const DeviceChoice& device) {
  if (device.cuda) return predict_on_cuda(file, set, info, device);
  return predict_on(device.cpu(), file, set, info);
}

}  // namespace program
