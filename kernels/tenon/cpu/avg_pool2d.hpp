// AvgPool2d: the mean of each window; padding counts as zeros, as in PyTorch with count_include_pad = true.
//   x (B, H, W, C)   ->   y (B, H', W', C)      backward   dx (B, H, W, C) = dy / (kh kw), summed over the windows
// Strategy  one task per image, 8 channels of a window per vector.
// Cost      4 bytes per value read and written, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"
#include "tenon/cpu/window.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace portable {

template <class T>
void avg_pool(const PoolDims& d, const T* x, T* y) {
  const T share = T(1) / static_cast<T>(d.window.kh * d.window.kw);
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox) {
      const WindowAt w(d, oy, ox);
      for (int c = 0; c < d.c; ++c) {
        T s = 0;
        for (int i = w.i0; i < w.i1; ++i)
          for (int j = w.j0; j < w.j1; ++j) s += x[w.at(i, j) + c];
        *y++ = s * share;
      }
    }
}

template <class T>
void avg_pool_gradient(const PoolDims& d, const T* dy, T* dx) {
  const T share = T(1) / static_cast<T>(d.window.kh * d.window.kw);
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox) {
      const WindowAt w(d, oy, ox);
      for (int c = 0; c < d.c; ++c) {
        const T g = *dy++ * share;
        for (int i = w.i0; i < w.i1; ++i)
          for (int j = w.j0; j < w.j1; ++j) dx[w.at(i, j) + c] += g;
      }
    }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct AvgPoolWindow {
  WindowAt w;
  const float* x;
  float* y;
  __m256 share;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    __m256 s = _mm256_setzero_ps();
    for (int i = w.i0; i < w.i1; ++i)
      for (int j = w.j0; j < w.j1; ++j) s = _mm256_add_ps(s, load(x + w.at(i, j) + c, live));
    store(y + c, live, _mm256_mul_ps(s, share));
  }
};

TENON_AVX2 inline void avg_pool(const PoolDims& d, const float* x, float* y) {
  const __m256 share = _mm256_set1_ps(1.0f / static_cast<float>(d.window.kh * d.window.kw));
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox, y += d.c) {
      const WindowAt w(d, oy, ox);
      AvgPoolWindow step{w, x, y, share};
      for_each_vector(0, static_cast<std::size_t>(d.c), step);
    }
}

struct AvgPoolGradient {
  WindowAt w;
  const float* dy;
  float* dx;
  __m256 share;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const __m256 g = _mm256_mul_ps(load(dy + c, live), share);
    for (int i = w.i0; i < w.i1; ++i)
      for (int j = w.j0; j < w.j1; ++j) {
        float* const to = dx + w.at(i, j) + c;
        store(to, live, _mm256_add_ps(load(to, live), g));
      }
  }
};

TENON_AVX2 inline void avg_pool_gradient(const PoolDims& d, const float* dy, float* dx) {
  const __m256 share = _mm256_set1_ps(1.0f / static_cast<float>(d.window.kh * d.window.kw));
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox, dy += d.c) {
      const WindowAt w(d, oy, ox);
      AvgPoolGradient step{w, dy, dx, share};
      for_each_vector(0, static_cast<std::size_t>(d.c), step);
    }
}

}  // namespace avx2
#endif

template <class T, PoolDims D>
void avg_pool2d_forward(Cpu& dev, PoolTag<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                        Out<T, Batch, D.oh(), D.ow(), D.c> y) {
  constexpr PoolDims d = D;
  dev.parallel(y.batch, [&](int n, int) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::avg_pool(d, x.row(n), y.row(n));
#endif
    portable::avg_pool(d, x.row(n), y.row(n));
  });
}

template <class T, PoolDims D>
void avg_pool2d_backward(Cpu& dev, PoolTag<D>, std::type_identity_t<In<T, Batch, D.oh(), D.ow(), D.c>> dy,
                         Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  constexpr PoolDims d = D;
  dev.parallel(dx.batch, [&](int n, int) {
    if (!dx.accumulate) std::fill_n(dx.row(n), dx.sample, T(0));
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::avg_pool_gradient(d, dy.row(n), dx.row(n));
#endif
    portable::avg_pool_gradient(d, dy.row(n), dx.row(n));
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
