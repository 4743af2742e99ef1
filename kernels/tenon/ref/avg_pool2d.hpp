// Average-pooling of one image in double; padding counts as zeros.
//   avg_pool2d            x (h, w, c) -> y (oh, ow, c)
//   avg_pool2d_backward   dy -> dx
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "tenon/core/config.hpp"
#include "tenon/core/geometry.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void avg_pool2d(const PoolDims& d, const double* x, double* y) {
  const Window& w = d.window;
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int c = 0; c < d.c; ++c) {
        double sum = 0;
        for (int ky = 0; ky < w.kh; ++ky)
          for (int kx = 0; kx < w.kw; ++kx) {
            const int iy = oy * w.sh - w.ph + ky * w.dh, ix = ox * w.sw - w.pw + kx * w.dw;
            if (iy >= 0 && iy < d.h && ix >= 0 && ix < d.w) sum += x[(iy * d.w + ix) * d.c + c];
          }
        y[(oy * d.ow() + ox) * d.c + c] = sum / (w.kh * w.kw);
      }
}

inline void avg_pool2d_backward(const PoolDims& d, const double* dy, double* dx) {
  const Window& w = d.window;
  std::fill_n(dx, d.h * d.w * d.c, 0.0);
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int c = 0; c < d.c; ++c)
        for (int ky = 0; ky < w.kh; ++ky)
          for (int kx = 0; kx < w.kw; ++kx) {
            const int iy = oy * w.sh - w.ph + ky * w.dh, ix = ox * w.sw - w.pw + kx * w.dw;
            if (iy >= 0 && iy < d.h && ix >= 0 && ix < d.w)
              dx[(iy * d.w + ix) * d.c + c] += dy[(oy * d.ow() + ox) * d.c + c] / (w.kh * w.kw);
          }
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
