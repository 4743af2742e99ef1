// The two orders of an image: channels-last (H, W, C) and channels-first (C, H, W).
//   x (B, H, W, C) -> y (B, C, H, W), and back      y may be added to: each is the other's gradient
// Strategy  a task owns some samples; 8 x 8 blocks are transposed in registers.
// Cost      8 bytes a value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/view.hpp"
#include "tenon/cpu/linear.hpp"  // transpose_8x8

namespace tenon::kernels {

namespace portable {

/// y (cols, rows) = x (rows, cols)^T, or += it.
template <class T>
void transpose(const T* x, int rows, int cols, int from, T* y, bool add) {
  for (int r = from; r < rows; ++r)
    for (int c = 0; c < cols; ++c) {
      T& to = y[static_cast<std::size_t>(c) * rows + r];
      to = add ? to + x[static_cast<std::size_t>(r) * cols + c] : x[static_cast<std::size_t>(r) * cols + c];
    }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

TENON_AVX2 inline void transpose(const float* x, int rows, int cols, float* y) {
  int r = 0;
  for (; r + lanes <= rows; r += lanes) {
    int c = 0;
    for (; c + lanes <= cols; c += lanes)
      transpose_8x8(x + static_cast<std::size_t>(r) * cols + c, cols, y + static_cast<std::size_t>(c) * rows + r, rows);
    for (; c < cols; ++c)
      for (int i = 0; i < lanes; ++i) y[static_cast<std::size_t>(c) * rows + r + i] = x[static_cast<std::size_t>(r + i) * cols + c];
  }
  portable::transpose(x, rows, cols, r, y, false);
}

}  // namespace avx2
#endif

/// Each sample's (rows, cols) matrix, transposed.
template <class T>
void transpose_samples(Cpu& dev, const T* x, int batch, int rows, int cols, T* y, bool add) {
  if (!y) return;
  const std::size_t sample = static_cast<std::size_t>(rows) * cols;
  dev.parallel_chunks(static_cast<std::size_t>(batch), 16384 / sample + 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (!add && takes_avx2<T>(dev)) {
          avx2::transpose(x + b * sample, rows, cols, y + b * sample);
          continue;
        }
#endif
      portable::transpose(x + b * sample, rows, cols, 0, y + b * sample, add);
    }
  });
}

template <class T, int H, int W, int C>
void to_channels_first(Cpu& dev, In<T, Batch, H, W, C> x, Into<T, Batch, C, H, W> y) {
  transpose_samples(dev, x.data, x.batch, H * W, C, y.data, y.add);
}

template <class T, int H, int W, int C>
void to_channels_last(Cpu& dev, In<T, Batch, C, H, W> x, Into<T, Batch, H, W, C> y) {
  transpose_samples(dev, x.data, x.batch, C, H * W, y.data, y.add);
}

}  // namespace tenon::kernels
