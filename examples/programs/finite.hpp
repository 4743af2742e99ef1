// Tests whether a number is finite by its bits, because under -ffast-math compilers assume that std::isfinite is true.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

namespace program {

inline bool is_finite(double x) {
  constexpr std::uint64_t exponent = 0x7ff0000000000000;
  return (std::bit_cast<std::uint64_t>(x) & exponent) != exponent;
}
inline bool is_finite(float x) {
  constexpr std::uint32_t exponent = 0x7f800000;
  return (std::bit_cast<std::uint32_t>(x) & exponent) != exponent;
}

}  // namespace program
