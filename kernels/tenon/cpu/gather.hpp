// Gathering a batch from a resident data set: order, augmentation, normalisation, layout, in one visit to the bytes.
//   images (N, H, W, C) or planar (N, C, H, W), bytes   ->   x (B, ...), channels-last, or planar if asked
//   labels (N), bytes                                   ->   y (B), int32
//   row b is sample order(first + b), changed as augmentation.draw(first + b) says; each value pixel * scale + offset
// Strategy  a task owns 8 samples; a row of pixels that stays in order is widened eight bytes at a time.
// Cost      5 bytes a value.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tenon/core/arguments.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

namespace portable {

/// y[i * y_stride] = x[i * x_stride] * scale + offset; x_stride may be negative.
template <class T>
void normalise(const std::uint8_t* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride, int n, T scale,
               T offset) {
  for (int i = 0; i < n; ++i) y[i * y_stride] = static_cast<T>(x[i * x_stride]) * scale + offset;
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

/// Eight consecutive pixels, the last first if `backwards`.
TENON_AVX2_INLINE __m256 normalised(const std::uint8_t* x, bool backwards, __m256 scale, __m256 offset) {
  __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)));
  if (backwards) wide = _mm256_permutevar8x32_epi32(wide, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(wide), scale, offset);
}

/// The same for consecutive pixels, forwards or (step -1) backwards.
TENON_AVX2 inline void normalise(const std::uint8_t* x, int step, float* y, int n, float scale, float offset) {
  const __m256 s = _mm256_set1_ps(scale), o = _mm256_set1_ps(offset);
  const bool backwards = step < 0;
  if (n < lanes) {
    for (int i = 0; i < n; ++i)
      y[i] = __builtin_fmaf(static_cast<float>(x[i * step]), scale, offset);  // as the lanes round
    return;
  }
  for (int i = 0; i < n; i += lanes) {
    if (i > n - lanes) i = n - lanes;  // the last vector overlaps the one before
    _mm256_storeu_ps(y + i, normalised(backwards ? x - i - (lanes - 1) : x + i, backwards, s, o));
  }
}

}  // namespace avx2
#endif

template <class T>
void normalise([[maybe_unused]] const Cpu& dev, const std::uint8_t* x, std::ptrdiff_t x_stride, T* y,
               std::ptrdiff_t y_stride, int n, T scale, T offset) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (y_stride == 1 && (x_stride == 1 || x_stride == -1) && takes_avx2<T>(dev))
      return avx2::normalise(x, static_cast<int>(x_stride), y, n, scale, offset);
#endif
  portable::normalise(x, x_stride, y, y_stride, n, scale, offset);
}

inline void prefetch(const Images& from, std::uint64_t index) {
  const std::uint8_t* const x = from.pixels + index * static_cast<std::uint64_t>(from.sample());
  for (int i = 0; i < from.sample(); i += 64) __builtin_prefetch(x + i);
}

/// One image: every output value is written once.
template <class T>
void gather_image(const Cpu& dev, const Images& from, std::uint64_t index, const Augmentation::Drawn& drawn,
                  const Normalisation<T>& n, bool planar, T* y) {
  const int h = from.h, w = from.w, c = from.c;
  const std::uint8_t* const x = from.pixels + index * static_cast<std::uint64_t>(from.sample());
  if (c == 1 && drawn.down == 0 && drawn.right == 0 && !drawn.mirrored)
    return normalise(dev, x, 1, y, 1, h * w, n.scale[0], n.offset[0]);
  const std::ptrdiff_t xp = from.planar ? 1 : c, yp = planar ? 1 : c;  // from one pixel to the next
  // y[i][j] = x[i - down][j'], j' = (mirrored ? w - 1 - j : j) - right: first mirrored back, then shifted.
  const int left = drawn.mirrored ? -drawn.right : drawn.right;  // empty columns at the left of y
  const int begin = left > 0 ? left : 0, end = left < 0 ? w + left : w;
  for (int k = 0; k < c; ++k)
    for (int i = 0; i < h; ++i) {
      T* const row = y + (planar ? (k * h + i) * w : i * w * c + k);
      const int source = i - drawn.down;
      const T black = n.offset[k];
      if (source < 0 || source >= h || begin >= end) {
        for (int j = 0; j < w; ++j) row[j * yp] = black;
        continue;
      }
      for (int j = 0; j < begin; ++j) row[j * yp] = black;
      for (int j = end; j < w; ++j) row[j * yp] = black;
      const std::uint8_t* const line = x + (from.planar ? (k * h + source) * w : source * w * c + k);
      const int first = drawn.mirrored ? w - 1 - begin - drawn.right : begin - drawn.right;
      normalise(dev, line + first * xp, drawn.mirrored ? -xp : xp, row + begin * yp, yp, end - begin, n.scale[k],
                n.offset[k]);
    }
}

/// x.batch images from position `first` of the epoch on. x holds (H, W, C), or (C, H, W) if planar.
template <class T, int... D>
void gather_images(Cpu& dev, const Images& from, const Order& order, std::uint64_t first,
                   const Augmentation& augmentation, const std::type_identity_t<Normalisation<T>>& normalisation,
                   Out<T, D...> x, bool planar = false) {
  from.require_sample(Out<T, D...>::sample, Normalisation<T>::most_channels);
  constexpr std::size_t grain = 8;
  dev.parallel_chunks(static_cast<std::size_t>(x.batch), grain, [&](std::size_t begin, std::size_t end) {
    // A shuffled image is in no cache: it is asked for while those before it are worked on.
    std::uint64_t index[grain];
    for (std::size_t b = begin; b < end; ++b) {
      index[b - begin] = order(first + b);
      prefetch(from, index[b - begin]);
    }
    for (std::size_t b = begin; b < end; ++b)
      gather_image(dev, from, index[b - begin], augmentation.draw(first + b), normalisation, planar,
                   x.row(static_cast<int>(b)));
  });
}

/// y[b] = labels[order(first + b)]
inline void gather_labels(Cpu&, const std::uint8_t* labels, const Order& order, std::uint64_t first,
                          Span<std::int32_t> y) {
  for (std::size_t b = 0; b < y.size; ++b) y[b] = labels[order(first + b)];
}

/// gather_images and, unless y is null, gather_labels.
template <class T, int... D>
void gather_batch(Cpu& dev, const Images& from, const std::uint8_t* labels, const Order& order, std::uint64_t first,
                  const Augmentation& augmentation, const std::type_identity_t<Normalisation<T>>& normalisation,
                  Out<T, D...> x, std::int32_t* y, bool planar = false) {
  gather_images(dev, from, order, first, augmentation, normalisation, x, planar);
  if (y) gather_labels(dev, labels, order, first, {y, static_cast<std::size_t>(x.batch)});
}

}  // namespace tenon::kernels
