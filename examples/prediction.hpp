// What a network makes of images: its outputs for all of them, in their order.
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

/// With the network that info.model names and the weights in `file`. Throws tenon::Error; stops if asked.
Outputs predict(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                const DeviceChoice& device);
/// Of cuda.cu or without_cuda.cpp.
Outputs predict_on_cuda(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                        const DeviceChoice& device);

}  // namespace program
