// The dropout mask, element by element.
//   kept(key, position, element, num, den): true if this element is kept; kept elements are scaled by den / (den - num)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/random.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline bool kept(const random::Key& key, std::uint64_t position, std::uint32_t element, int num, int den) {
  const std::uint32_t word = key.words(position, element / 4).v[element % 4];
  return static_cast<double>(word) >= 4294967296.0 * num / den - 1e-6;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
