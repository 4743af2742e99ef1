// The windows of a pooling, for max_pool2d and avg_pool2d.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/core/config.hpp"
#include "tenon/core/geometry.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// One window: the rows [i0, i1) and columns [j0, j1) of the kernel that are inside the image, and the offsets of their
/// pixels in the image (h, w, c).
struct WindowAt {
  int i0, i1, j0, j1;
  std::ptrdiff_t first, down,
      right;  // offset of position (0, 0), which may be outside; distance of two rows; of two columns

  constexpr WindowAt(const PoolDims& d, int oy, int ox)
      : i0(0), i1(d.window.kh), j0(0), j1(d.window.kw), first(0), down(0), right(0) {
    const Window& k = d.window;
    const int y = oy * k.sh - k.ph, x = ox * k.sw - k.pw;
    while (i0 < i1 && y + i0 * k.dh < 0) ++i0;
    while (i1 > i0 && y + (i1 - 1) * k.dh >= d.h) --i1;
    while (j0 < j1 && x + j0 * k.dw < 0) ++j0;
    while (j1 > j0 && x + (j1 - 1) * k.dw >= d.w) --j1;
    first = (static_cast<std::ptrdiff_t>(y) * d.w + x) * d.c;
    down = static_cast<std::ptrdiff_t>(k.dh) * d.w * d.c;
    right = static_cast<std::ptrdiff_t>(k.dw) * d.c;
  }
  /// True if the whole window is padding. A dilated window can step over the image.
  constexpr bool empty() const { return i0 == i1 || j0 == j1; }
  /// The offset of the first value of the pixel under position (i, j).
  constexpr std::ptrdiff_t at(int i, int j) const { return first + i * down + j * right; }
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
