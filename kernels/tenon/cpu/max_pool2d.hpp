// MaxPool2d: the largest value of each window, and where it was.
//   x (B, H, W, C)   ->   y (B, H', W', C), argmax (B, H', W', C): place in the window, row by row; null: not wanted
//   backward         dx (B, H, W, C) = dy at the places, zero elsewhere
// The first maximum wins, and a NaN beats all, as in PyTorch. Padding counts as minus infinity.
// Strategy  an image a task. Without padding or dilation a pixel's channels go eight at a time; otherwise one by one.
// Cost      4 (H W + H' W') C bytes a sample and a byte an output.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/conv2d.hpp"  // pool_row

namespace tenon::kernels {

namespace portable {

template <class T>
void max_pool2d_image(const PoolDims& d, const T* x, T* y, std::uint8_t* argmax) {
  const Window& w = d.window;
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int c = 0; c < d.c; ++c, ++y) {
        bool any = false;
        T most = 0;
        int place = 0;
        for (int i = 0; i < w.kh; ++i)
          for (int j = 0; j < w.kw; ++j) {
            const int iy = oy * w.sh - w.ph + i * w.dh, ix = ox * w.sw - w.pw + j * w.dw;
            if (iy < 0 || iy >= d.h || ix < 0 || ix >= d.w) continue;
            const T v = x[(static_cast<std::size_t>(iy) * d.w + ix) * d.c + c];
            if (!any || v > most || v != v) most = v, place = i * w.kw + j, any = true;
          }
        *y = most;
        if (argmax) *argmax++ = static_cast<std::uint8_t>(place);
      }
}

template <class T>
void max_pool2d_image_backward(const PoolDims& d, const std::uint8_t* argmax, const T* dy, T* dx) {
  const Window& w = d.window;
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int c = 0; c < d.c; ++c) {
        const int place = *argmax++;
        const int iy = oy * w.sh - w.ph + place / w.kw * w.dh, ix = ox * w.sw - w.pw + place % w.kw * w.dw;
        dx[(static_cast<std::size_t>(iy) * d.w + ix) * d.c + c] += *dy++;
      }
}

}  // namespace portable

template <PoolDims D, class T>
void max_pool2d_forward(Cpu& dev, Pool<D>, In<T, Batch, D.h, D.w, D.c> x, Out<T, Batch, D.oh(), D.ow(), D.c> y,
                        std::type_identity_t<Out<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax) {
  dev.parallel(x.batch, [&](int n, int) {
    std::uint8_t* const places = argmax ? argmax.row(n) : nullptr;
#if TENON_X86
    if constexpr (std::is_same_v<T, float> && D.window.ph == 0 && D.window.pw == 0 && D.window.dh == 1 && D.window.dw == 1 &&
                  D.window.sw == D.window.kw)
      if (takes_avx2<T>(dev)) {
        for (int p = 0; p < D.oh(); ++p)
          avx2::ConvKernels::pool_row(x.row(n) + static_cast<std::size_t>(p) * D.window.sh * D.w * D.c, D.w, D.c, D.window.kh, D.window.kw,
                                      D.ow(), y.row(n) + static_cast<std::size_t>(p) * D.ow() * D.c,
                                      places ? places + static_cast<std::size_t>(p) * D.ow() * D.c : nullptr);
        return;
      }
#endif
    portable::max_pool2d_image(D, x.row(n), y.row(n), places);
  });
}

template <PoolDims D, class T>
void max_pool2d_backward(Cpu& dev, Pool<D>, std::type_identity_t<In<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax,
                         In<T, Batch, D.oh(), D.ow(), D.c> dy, Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  dev.parallel(dx.batch, [&](int n, int) {
    if (!dx.add) std::fill_n(dx.row(n), D.h * D.w * D.c, T(0));
    portable::max_pool2d_image_backward(D, argmax.row(n), dy.row(n), dx.row(n));
  });
}

}  // namespace tenon::kernels
