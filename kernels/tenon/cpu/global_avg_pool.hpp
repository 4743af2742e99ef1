// GlobalAvgPool: the mean of each channel over the pixels.
//   x (B, H, W, C)   ->   y (B, C)                  backward   dx (B, H, W, C) = dy / (H W)
// Strategy  an image a task; sums over pixels in order, a pixel's channels side by side.
// Cost      4 H W C bytes a sample.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

template <class T, int H, int W, int C>
void global_avg_pool_forward(Cpu& dev, In<T, Batch, H, W, C> x, Out<T, Batch, C> y) {
  dev.parallel(x.batch, [&](int n, int) {
    T* const to = y.row(n);
    std::fill_n(to, C, T(0));
    for (std::size_t p = 0; p < static_cast<std::size_t>(H) * W; ++p)
      for (int c = 0; c < C; ++c) to[c] += x.row(n)[p * C + c];
    for (int c = 0; c < C; ++c) to[c] *= T(1) / (H * W);
  });
}

template <class T, int H, int W, int C>
void global_avg_pool_backward(Cpu& dev, In<T, Batch, C> dy, Into<T, Batch, H, W, C> dx) {
  if (!dx) return;
  dev.parallel(dx.batch, [&](int n, int) {
    for (std::size_t p = 0; p < static_cast<std::size_t>(H) * W; ++p)
      for (int c = 0; c < C; ++c) {
        const T g = dy.row(n)[c] * (T(1) / (H * W));
        T& to = dx.row(n)[p * C + c];
        to = dx.add ? to + g : g;
      }
  });
}

}  // namespace tenon::kernels
