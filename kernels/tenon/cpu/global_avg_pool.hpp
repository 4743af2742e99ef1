// GlobalAvgPool: the mean of each channel over all pixels.
//   x (B, H, W, C)   ->   y (B, C)      backward   dx (B, H, W, C) = dy / (H W)
// Strategy  one task per image, 8 channels per vector, pixels in order.
// Cost      4 bytes per value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace portable {

template <class T>
void channel_means(const T* x, int pixels, int channels, T* y) {
  for (int c = 0; c < channels; ++c) {
    T s = 0;
    for (int p = 0; p < pixels; ++p) s += x[static_cast<std::size_t>(p) * channels + c];
    y[c] = s / static_cast<T>(pixels);
  }
}

template <class T>
void spread_means(const T* dy, int pixels, int channels, T* dx, bool accumulate) {
  for (int p = 0; p < pixels; ++p)
    for (int c = 0; c < channels; ++c, ++dx) *dx = (accumulate ? *dx : T(0)) + dy[c] / static_cast<T>(pixels);
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct ChannelMeans {
  const float* x;
  std::size_t pixels, channels;
  float* y;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    __m256 even = _mm256_setzero_ps(), odd = even;  // two sums hide half of an addition's latency
    std::size_t p = 0;
    for (; p + 2 <= pixels; p += 2) {
      even = _mm256_add_ps(even, load(x + p * channels + c, live));
      odd = _mm256_add_ps(odd, load(x + (p + 1) * channels + c, live));
    }
    if (p < pixels) even = _mm256_add_ps(even, load(x + p * channels + c, live));
    store(y + c, live, _mm256_div_ps(_mm256_add_ps(even, odd), _mm256_set1_ps(static_cast<float>(pixels))));
  }
};

TENON_AVX2 inline void channel_means(const float* x, int pixels, int channels, float* y) {
  ChannelMeans step{x, static_cast<std::size_t>(pixels), static_cast<std::size_t>(channels), y};
  for_each_vector(0, step.channels, step);
}

struct SpreadMeans {
  const float* dy;
  std::size_t pixels, channels;
  float* dx;
  bool accumulate;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const __m256 g = _mm256_div_ps(load(dy + c, live), _mm256_set1_ps(static_cast<float>(pixels)));
    for (std::size_t i = c; i < pixels * channels; i += channels)
      store(dx + i, live, accumulate ? _mm256_add_ps(load(dx + i, live), g) : g);
  }
};

TENON_AVX2 inline void spread_means(const float* dy, int pixels, int channels, float* dx, bool accumulate) {
  SpreadMeans step{dy, static_cast<std::size_t>(pixels), static_cast<std::size_t>(channels), dx, accumulate};
  for_each_vector(0, step.channels, step);
}

}  // namespace avx2
#endif

template <class T, int H, int W, int C>
void global_avg_pool_forward(Cpu& dev, In<T, Batch, H, W, C> x, Out<T, Batch, C> y) {
  dev.parallel(y.batch, [&](int n, int) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::channel_means(x.row(n), H * W, C, y.row(n));
#endif
    portable::channel_means(x.row(n), H * W, C, y.row(n));
  });
}

template <class T, int H, int W, int C>
void global_avg_pool_backward(Cpu& dev, std::type_identity_t<In<T, Batch, C>> dy, Into<T, Batch, H, W, C> dx) {
  if (!dx) return;
  dev.parallel(dx.batch, [&](int n, int) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::spread_means(dy.row(n), H * W, C, dx.row(n), dx.accumulate);
#endif
    portable::spread_means(dy.row(n), H * W, C, dx.row(n), dx.accumulate);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
