// A network's outputs for all images of a set, in their order.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include <tenon/data/images.hpp>
#include <tenon/io/safetensors.hpp>

#include "device.hpp"
#include "program.hpp"

namespace program {

struct Outputs {
  std::vector<float> logits;  // (count, classes)
  long long parameters = 0;
};

/// Predicts with the network info.model and the weights in `file`. Throws tenon::Error, and Interrupted after a signal.
Outputs predict(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                const DeviceChoice& device);
/// Defined in cuda.cu or without_cuda.cpp.
Outputs predict_on_cuda(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                        const DeviceChoice& device);

}  // namespace program
