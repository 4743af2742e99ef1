// AvgPool2d: the mean of each window; padding counts as zeros, as PyTorch's default has it.
//   x (B, H, W, C)   ->   y (B, H', W', C)          backward   dx (B, H, W, C) = dy / (kh kw), spread over the window
// Strategy  an image a task; a pixel's channels lie together.
// Cost      4 (H W + H' W') C bytes a sample.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tenon/core/geometry.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

/// f(output pixel, input pixel) for every position of every window that lies inside.
template <class F>
void for_each_window_pixel(const PoolDims& d, F&& f) {
  const Window& w = d.window;
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int i = 0; i < w.kh; ++i)
        for (int j = 0; j < w.kw; ++j) {
          const int iy = oy * w.sh - w.ph + i * w.dh, ix = ox * w.sw - w.pw + j * w.dw;
          if (iy < 0 || iy >= d.h || ix < 0 || ix >= d.w) continue;
          f(static_cast<std::size_t>(oy) * d.ow() + ox, static_cast<std::size_t>(iy) * d.w + ix);
        }
}

template <PoolDims D, class T>
void avg_pool2d_forward(Cpu& dev, Pool<D>, In<T, Batch, D.h, D.w, D.c> x, Out<T, Batch, D.oh(), D.ow(), D.c> y) {
  dev.parallel(x.batch, [&](int n, int) {
    const T share = T(1) / (D.window.kh * D.window.kw);
    T* const to = y.row(n);
    std::fill_n(to, D.oh() * D.ow() * D.c, T(0));
    for_each_window_pixel(D, [&](std::size_t out, std::size_t in) {
      for (int c = 0; c < D.c; ++c) to[out * D.c + c] += x.row(n)[in * D.c + c];
    });
    for (int i = 0; i < D.oh() * D.ow() * D.c; ++i) to[i] *= share;
  });
}

template <PoolDims D, class T>
void avg_pool2d_backward(Cpu& dev, Pool<D>, In<T, Batch, D.oh(), D.ow(), D.c> dy, Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  dev.parallel(dx.batch, [&](int n, int) {
    const T share = T(1) / (D.window.kh * D.window.kw);
    T* const to = dx.row(n);
    if (!dx.add) std::fill_n(to, D.h * D.w * D.c, T(0));
    for_each_window_pixel(D, [&](std::size_t out, std::size_t in) {
      for (int c = 0; c < D.c; ++c) to[in * D.c + c] += share * dy.row(n)[out * D.c + c];
    });
  });
}

}  // namespace tenon::kernels
