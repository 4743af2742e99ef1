// Gathering a batch from a data set in memory.
//   gather_batch   images (N, H, W, C) or planar (N, C, H, W), bytes   ->   x (B, ...), channels-last or planar
//                  labels (N), bytes                                   ->   labels (B), int32; zeros if there are none
//                  order, augmentation, normalization and layout in one pass over the bytes:
//                  value = pixel * scale + offset, of the image changed by augmentation.draw(position)
//   gather_rows    x (N, I), targets (N, K)                            ->   x (B, I), targets (B, K)
// Row b is sample order(position) with position = step.first_sample + b.
// Strategy  a task owns 8 samples. Contiguous pixels, in forward or reverse order, are converted eight bytes at a time.
// Cost      5 bytes per value of an image, 2 sizeof(T) per value of a row.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/common/gather.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/transpose.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

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

/// Eight consecutive pixels, in reverse order if `backwards`.
TENON_AVX2_INLINE __m256 normalised(const std::uint8_t* x, bool backwards, __m256 scale, __m256 offset) {
  __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)));
  if (backwards) wide = _mm256_permutevar8x32_epi32(wide, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(wide), scale, offset);
}

/// The same for consecutive pixels, forwards or (step -1) backwards. Each value is rounded once.
TENON_AVX2 inline void normalise(const std::uint8_t* x, int step, float* y, std::ptrdiff_t y_stride, int n, float scale,
                                 float offset) {
  const __m256 s = _mm256_set1_ps(scale), o = _mm256_set1_ps(offset);
  const bool backwards = step < 0;
  if (n < lanes || y_stride != 1) {
    for (int i = 0; i < n; ++i) y[i * y_stride] = __builtin_fmaf(static_cast<float>(x[i * step]), scale, offset);
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
    if ((x_stride == 1 || x_stride == -1) && takes_avx2<T>(dev))
      return avx2::normalise(x, static_cast<int>(x_stride), y, y_stride, n, scale, offset);
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
  const std::ptrdiff_t xp = from.planar ? 1 : c;  // from one pixel to the next
  // y[i][j] = x[i - down][j'], j' = (mirrored ? w - 1 - j : j) - right: first the mirroring is undone, then the shift.
  const int left = drawn.mirrored ? -drawn.right : drawn.right;  // empty columns at the left of y
  const int begin = left > 0 ? left : 0, end = left < 0 ? w + left : w;
  const auto gather_line = [&](int k, int i, T* row, std::ptrdiff_t yp) {  // row i of channel k
    const int source = i - drawn.down;
    const T black = n.offset[k];
    if (source < 0 || source >= h || begin >= end) {
      for (int j = 0; j < w; ++j) row[j * yp] = black;
      return;
    }
    for (int j = 0; j < begin; ++j) row[j * yp] = black;
    for (int j = end; j < w; ++j) row[j * yp] = black;
    const std::uint8_t* const line = x + (from.planar ? (k * h + source) * w : source * w * c + k);
    const int first = drawn.mirrored ? w - 1 - begin - drawn.right : begin - drawn.right;
    normalise(dev, line + first * xp, drawn.mirrored ? -xp : xp, row + begin * yp, yp, end - begin, n.scale[k],
              n.offset[k]);
  };
  constexpr int longest = 256, channels = Normalisation<T>::max_channels;
  if (planar || c == 1) {
    for (int k = 0; k < c; ++k)
      for (int i = 0; i < h; ++i) gather_line(k, i, y + (k * h + i) * w, 1);
  } else if (w > longest) {
    for (int k = 0; k < c; ++k)
      for (int i = 0; i < h; ++i) gather_line(k, i, y + i * w * c + k, c);
  } else {  // a row of each channel, then all of them together
    T lines[channels * longest];
    for (int i = 0; i < h; ++i) {
      for (int k = 0; k < c; ++k) gather_line(k, i, lines + k * longest, 1);
      T* const row = y + i * w * c;
      if (c == 3)
        for (int j = 0; j < w; ++j)
          row[3 * j] = lines[j], row[3 * j + 1] = lines[longest + j], row[3 * j + 2] = lines[2 * longest + j];
      else
        transpose(dev, lines, c, w, longest, row, c, false);
    }
  }
}

/// Gathers x.batch samples of the epoch, from step->first_sample on. A row of x is (H, W, C), or (C, H, W) if planar.
/// `labels` may be null. The images must fit x (Images::require_input).
template <class T, int... D>
void gather_batch(Cpu& dev, const std::type_identity_t<ImageSource<T>>* source, const StepState* step, Pass pass,
                  Out<T, Batch, D...> x, std::int32_t* labels, bool planar = false) {
  constexpr std::size_t grain = 8;
  const Images from = source->images;
  const Order order = source->order(*step, pass);
  const Augmentation augmentation = source->augmentation(*step, pass);
  const std::uint64_t first = step->first_sample;
  dev.parallel_chunks(static_cast<std::size_t>(x.batch), grain, [&](std::size_t begin, std::size_t end) {
    // A shuffled image is not in the cache, so it is prefetched while earlier images are processed.
    std::uint64_t index[grain];
    for (std::size_t b = begin; b < end; ++b) {
      index[b - begin] = order(first + b);
      prefetch(from, index[b - begin]);
    }
    for (std::size_t b = begin; b < end; ++b) {
      gather_image(dev, from, index[b - begin], augmentation.draw(first + b), source->normalisation, planar,
                   x.row(static_cast<int>(b)));
      if (labels) labels[b] = source->labels ? source->labels[index[b - begin]] : 0;
    }
  });
}

/// Gathers x.batch rows of the epoch, from step->first_sample on. A row of the source has as many values as a row of x, and
/// `targets_per_sample` targets.
template <class T, class Target, int... D>
void gather_rows(Cpu& dev, const std::type_identity_t<RowSource<T, Target>>* source, const StepState* step, Pass pass,
                 Out<T, Batch, D...> x, Target* targets, int targets_per_sample) {
  constexpr std::size_t grain = 8, values = static_cast<std::size_t>(Out<T, Batch, D...>::sample);
  const std::size_t width = static_cast<std::size_t>(targets_per_sample);
  const Order order = source->order(*step, pass);
  dev.parallel_chunks(static_cast<std::size_t>(x.batch), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      const std::uint64_t index = order(step->first_sample + b);
      std::copy_n(source->x + index * values, values, x.row(static_cast<int>(b)));
      if (source->targets)
        std::copy_n(source->targets + index * width, width, targets + b * width);
      else
        std::fill_n(targets + b * width, width, Target{});
    }
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
