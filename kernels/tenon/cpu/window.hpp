// Going through the windows of a pooling, for max_pool2d and avg_pool2d.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/core/geometry.hpp"

namespace tenon::kernels {

/// One window: the rows [i0, i1) and columns [j0, j1) of the kernel that lie on the image, and where they lie.
struct WindowAt {
  int i0, i1, j0, j1;
  int y, x;  // the pixel under position (0, 0), perhaps outside

  constexpr WindowAt(const PoolDims& d, int oy, int ox)
      : i0(0), i1(d.window.kh), j0(0), j1(d.window.kw), y(oy * d.window.sh - d.window.ph), x(ox * d.window.sw - d.window.pw) {
    while (i0 < i1 && y + i0 * d.window.dh < 0) ++i0;
    while (i1 > i0 && y + (i1 - 1) * d.window.dh >= d.h) --i1;
    while (j0 < j1 && x + j0 * d.window.dw < 0) ++j0;
    while (j1 > j0 && x + (j1 - 1) * d.window.dw >= d.w) --j1;
  }
  /// The whole window lies on padding: a dilated one can step over the image.
  constexpr bool empty() const { return i0 == i1 || j0 == j1; }
  /// The first value of the pixel under position (i, j) in an image (h, w, c).
  constexpr std::ptrdiff_t at(const PoolDims& d, int i, int j) const {
    return (static_cast<std::ptrdiff_t>(y + i * d.window.dh) * d.w + (x + j * d.window.dw)) * d.c;
  }
};

}  // namespace tenon::kernels
