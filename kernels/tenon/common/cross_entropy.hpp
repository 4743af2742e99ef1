// The options of softmax cross-entropy, the same for every device and value type.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

struct CrossEntropyOptions {
  float label_smoothing = 0;             // in [0, 1)
  const float* class_weights = nullptr;  // host memory, one for each class, read before the call returns; null: all 1
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
