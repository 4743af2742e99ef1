// The dropout mask, element by element.
//   kept(key, position, element, num, den): whether this element survives; survivors are scaled by den / (den - num)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/random.hpp"

namespace tenon::kernels::ref {

inline bool kept(const random::Key& key, std::uint64_t position, std::uint32_t element, int num, int den) {
  const std::uint32_t word = key.words(position, element / 4).v[element % 4];
  return static_cast<double>(word) >= 4294967296.0 * num / den - 1e-6;
}

}  // namespace tenon::kernels::ref
