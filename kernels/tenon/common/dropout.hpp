// The rate of dropout in the form that kernels use, the same for every device.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// An element is dropped if its random word is below `threshold`. The others are multiplied by `scale`.
struct DropoutRate {
  std::uint32_t threshold;
  double scale;

  /// The rate num / den, with 0 <= num < den.
  constexpr DropoutRate(int num, int den)
      : threshold(
            static_cast<std::uint32_t>((static_cast<std::uint64_t>(num) << 32) / static_cast<std::uint64_t>(den))),
        scale(static_cast<double>(den) / (den - num)) {}
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
