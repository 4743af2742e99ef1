// Max-pooling of one image in double. As in PyTorch, the first maximum is taken, and a NaN replaces every earlier value.
//   max_pool2d            x (h, w, c) -> y (oh, ow, c) and the position of each in its window, row by row
//   max_pool2d_backward   places, dy -> dx
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tenon/core/config.hpp"
#include "tenon/core/geometry.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void max_pool2d(const PoolDims& d, const double* x, double* y, std::uint8_t* places) {
  const Window& w = d.window;
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int c = 0; c < d.c; ++c) {
        double max = -std::numeric_limits<double>::infinity();
        int place = 255;  // no position: the whole window is padding
        for (int ky = 0; ky < w.kh; ++ky)
          for (int kx = 0; kx < w.kw; ++kx) {
            const int iy = oy * w.sh - w.ph + ky * w.dh, ix = ox * w.sw - w.pw + kx * w.dw;
            if (iy < 0 || iy >= d.h || ix < 0 || ix >= d.w) continue;
            const double v = x[(iy * d.w + ix) * d.c + c];
            if (place == 255 || v > max || std::isnan(v)) {
              max = v;
              place = ky * w.kw + kx;
            }
          }
        y[(oy * d.ow() + ox) * d.c + c] = max;
        places[(oy * d.ow() + ox) * d.c + c] = static_cast<std::uint8_t>(place);
      }
}

inline void max_pool2d_backward(const PoolDims& d, const std::uint8_t* places, const double* dy, double* dx) {
  const Window& w = d.window;
  std::fill_n(dx, d.h * d.w * d.c, 0.0);
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int c = 0; c < d.c; ++c) {
        const int at = (oy * d.ow() + ox) * d.c + c, ky = places[at] / w.kw, kx = places[at] % w.kw;
        if (places[at] == 255) continue;
        dx[((oy * w.sh - w.ph + ky * w.dh) * d.w + ox * w.sw - w.pw + kx * w.dw) * d.c + c] += dy[at];
      }
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
