// MaxPool2d: the largest value of each window, and its position in the window.
//   x (B, H, W, C)   ->   y (B, H', W', C), argmax (B, H', W', C): row * kw + column; may be null
//   backward         dx (B, H, W, C) = dy at the position of the maximum, summed over the windows that share it
// As in PyTorch, the first of equal values is the maximum, and NaN counts as larger than every number. Padding is never the
// maximum. A window of padding alone has the maximum minus infinity and the position no_argmax.
// Strategy  one task per image, 8 channels of a window per vector. A convolution pools its bands with the same code.
// Cost      4 bytes per value read and 5 per value written, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"
#include "tenon/cpu/window.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr std::uint8_t no_argmax =
    255;  // the argmax of a window of padding alone; windows have at most 255 positions

namespace portable {

/// The result of a window of padding alone, for every channel.
template <class T>
void max_pool_nothing(int channels, T* y, std::uint8_t* argmax) {
  std::fill_n(y, channels, -std::numeric_limits<T>::infinity());
  if (argmax) std::fill_n(argmax, channels, no_argmax);
}

template <class T>
void max_pool(const PoolDims& d, const T* x, T* y, std::uint8_t* argmax) {
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox, y += d.c) {
      const WindowAt w(d, oy, ox);
      if (w.empty()) max_pool_nothing(d.c, y, argmax);
      for (int c = 0; c < d.c && !w.empty(); ++c) {
        int place = w.i0 * d.window.kw + w.j0;
        T max = x[w.at(w.i0, w.j0) + c];
        for (int i = w.i0; i < w.i1; ++i)
          for (int j = w.j0; j < w.j1; ++j) {
            const T v = x[w.at(i, j) + c];
            if (!(v > max || v != v)) continue;
            max = v;
            place = i * d.window.kw + j;
          }
        y[c] = max;
        if (argmax) argmax[c] = static_cast<std::uint8_t>(place);
      }
      if (argmax) argmax += d.c;
    }
}

template <class T>
void max_pool_gradient(const PoolDims& d, const std::uint8_t* argmax, const T* dy, T* dx) {
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox, argmax += d.c, dy += d.c) {
      const WindowAt w(d, oy, ox);
      for (int c = 0; c < d.c; ++c)
        if (argmax[c] != no_argmax) dx[w.at(argmax[c] / d.window.kw, argmax[c] % d.window.kw) + c] += dy[c];
    }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

/// Conversions between eight ints below 256 and eight bytes.
TENON_AVX2_INLINE __m256i load_bytes(const std::uint8_t* p, FullVector) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
TENON_AVX2_INLINE __m256i load_bytes(const std::uint8_t* p, MaskedVector m) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, p, static_cast<std::size_t>(__builtin_popcount(_mm256_movemask_ps(_mm256_castsi256_ps(m.live)))));
  return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(eight)));
}
TENON_AVX2_INLINE __m128i to_bytes(__m256i v) {
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  return _mm_packus_epi16(words, words);
}
TENON_AVX2_INLINE void store_bytes(std::uint8_t* p, FullVector, __m256i v) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), to_bytes(v));
}
TENON_AVX2_INLINE void store_bytes(std::uint8_t* p, MaskedVector m, __m256i v) {
  const long long eight = _mm_cvtsi128_si64(to_bytes(v));
  std::memcpy(p, &eight, static_cast<std::size_t>(__builtin_popcount(_mm256_movemask_ps(_mm256_castsi256_ps(m.live)))));
}

/// A running maximum and its position. A later value replaces it only if it is larger or NaN.
struct Maximum {
  __m256 max;
  __m256i place;
  TENON_AVX2_INLINE void offer(__m256 v, int at) {
    const __m256 wins = _mm256_or_ps(_mm256_cmp_ps(v, max, _CMP_GT_OQ), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    max = _mm256_blendv_ps(max, v, wins);
    place = _mm256_blendv_epi8(place, _mm256_set1_epi32(at), _mm256_castps_si256(wins));
  }
};

struct MaxPoolWindow {
  int kw;
  WindowAt w;
  const float* x;
  float* y;
  std::uint8_t* argmax;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    Maximum m{load(x + w.at(w.i0, w.j0) + c, live), _mm256_set1_epi32(w.i0 * kw + w.j0)};
    for (int i = w.i0; i < w.i1; ++i)
      for (int j = w.j0; j < w.j1; ++j) m.offer(load(x + w.at(i, j) + c, live), i * kw + j);
    store(y + c, live, m.max);
    if (argmax) store_bytes(argmax + c, live, m.place);
  }
};

TENON_AVX2 inline void max_pool(const PoolDims& d, const float* x, float* y, std::uint8_t* argmax) {
  const std::size_t channels = static_cast<std::size_t>(d.c);
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox, y += channels) {
      const WindowAt w(d, oy, ox);
      MaxPoolWindow step{d.window.kw, w, x, y, argmax};
      if (w.empty())
        portable::max_pool_nothing(d.c, y, argmax);
      else
        for_each_vector(0, channels, step);
      if (argmax) argmax += channels;
    }
}

struct MaxPoolGradient {
  int kw;
  WindowAt w;
  const std::uint8_t* argmax;
  const float* dy;
  float* dx;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const __m256i place = load_bytes(argmax + c, live);
    const __m256 g = load(dy + c, live);
    for (int i = w.i0; i < w.i1; ++i)
      for (int j = w.j0; j < w.j1; ++j) {
        float* const to = dx + w.at(i, j) + c;
        const __m256i here = _mm256_cmpeq_epi32(place, _mm256_set1_epi32(i * kw + j));
        store(to, live, _mm256_add_ps(load(to, live), _mm256_and_ps(g, _mm256_castsi256_ps(here))));
      }
  }
};

TENON_AVX2 inline void max_pool_gradient(const PoolDims& d, const std::uint8_t* argmax, const float* dy, float* dx) {
  const std::size_t channels = static_cast<std::size_t>(d.c);
  const int oh = d.oh(), ow = d.ow();
  for (int oy = 0; oy < oh; ++oy)
    for (int ox = 0; ox < ow; ++ox, argmax += channels, dy += channels) {
      const WindowAt w(d, oy, ox);
      MaxPoolGradient step{d.window.kw, w, argmax, dy, dx};
      for_each_vector(0, channels, step);
    }
}

}  // namespace avx2
#endif

/// One image, x (h, w, c), or a band of one.
template <class T>
void max_pool([[maybe_unused]] const Cpu& dev, const PoolDims& d, const T* x, T* y, std::uint8_t* argmax) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::max_pool(d, x, y, argmax);
#endif
  portable::max_pool(d, x, y, argmax);
}

/// dx (h, w, c) += dy at the positions of the maxima, for one image or a band of one.
template <class T>
void max_pool_gradient([[maybe_unused]] const Cpu& dev, const PoolDims& d, const std::uint8_t* argmax, const T* dy,
                       T* dx) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::max_pool_gradient(d, argmax, dy, dx);
#endif
  portable::max_pool_gradient(d, argmax, dy, dx);
}

template <class T, PoolDims D>
void max_pool2d_forward(Cpu& dev, PoolTag<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                        Out<T, Batch, D.oh(), D.ow(), D.c> y,
                        std::type_identity_t<Out<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax) {
  dev.parallel(y.batch, [&](int n, int) { max_pool(dev, D, x.row(n), y.row(n), argmax ? argmax.row(n) : nullptr); });
}

template <class T, PoolDims D>
void max_pool2d_backward(Cpu& dev, PoolTag<D>,
                         std::type_identity_t<In<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax,
                         std::type_identity_t<In<T, Batch, D.oh(), D.ow(), D.c>> dy, Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  dev.parallel(dx.batch, [&](int n, int) {
    if (!dx.accumulate) std::fill_n(dx.row(n), dx.sample, T(0));
    max_pool_gradient(dev, D, argmax.row(n), dy.row(n), dx.row(n));
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
