// One value of a gathered batch, in double.
//   value (i, j, k) of image `index`, shifted by (down, right), then mirrored: row i, column j, channel k
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/common/gather.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline double gathered(const Images& from, std::uint64_t index, const Augmentation::Drawn& drawn, double mean,
                       double deviation, int i, int j, int k) {
  if (drawn.mirrored) j = from.w - 1 - j;
  i -= drawn.down;
  j -= drawn.right;
  double pixel = 0;
  if (i >= 0 && i < from.h && j >= 0 && j < from.w) {
    const std::uint8_t* const image = from.pixels + index * static_cast<std::uint64_t>(from.sample());
    pixel = from.planar ? image[(k * from.h + i) * from.w + j] : image[(i * from.w + j) * from.c + k];
  }
  return (pixel / 255 - mean) / deviation;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
