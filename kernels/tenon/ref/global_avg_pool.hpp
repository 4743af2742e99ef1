// The mean of each channel of one image, in double.
//   global_avg_pool            x (pixels, c) -> y (c)
//   global_avg_pool_backward   dy -> dx
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void global_avg_pool(const double* x, int pixels, int channels, double* y) {
  for (int c = 0; c < channels; ++c) {
    y[c] = 0;
    for (int p = 0; p < pixels; ++p) y[c] += x[p * channels + c];
    y[c] /= pixels;
  }
}

inline void global_avg_pool_backward(const double* dy, int pixels, int channels, double* dx) {
  for (int p = 0; p < pixels; ++p)
    for (int c = 0; c < channels; ++c) dx[p * channels + c] = dy[c] / pixels;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
