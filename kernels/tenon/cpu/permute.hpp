// The two orders of an image: channels-last (H, W, C), used inside a network, and channels-first (C, H, W), used outside.
//   to_channels_first   x (B, H, W, C) -> y (B, C, H, W)        to_channels_last   x (B, C, H, W) -> y (B, H, W, C)
// Each is the gradient of the other, so y may accumulate.
// Strategy  a task owns some images; each is one transposed matrix.
// Cost      8 bytes per value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/transpose.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// y (batch, cols, rows) = x (batch, rows, cols), each transposed, or += it. Does nothing if y is null.
template <class T>
void transpose_images(Cpu& dev, const T* x, int batch, int rows, int cols, T* y, bool accumulate) {
  if (!y) return;
  const std::size_t size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  dev.parallel_chunks(static_cast<std::size_t>(batch), 16384 / size + 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b)
      transpose(dev, x + b * size, rows, cols, cols, y + b * size, rows, accumulate);
  });
}

template <class T, int H, int W, int C>
void to_channels_first(Cpu& dev, std::type_identity_t<In<T, Batch, H, W, C>> x, Into<T, Batch, C, H, W> y) {
  transpose_images(dev, x.data, x.batch, H * W, C, y.data, y.accumulate);
}

template <class T, int H, int W, int C>
void to_channels_last(Cpu& dev, std::type_identity_t<In<T, Batch, C, H, W>> x, Into<T, Batch, H, W, C> y) {
  transpose_images(dev, x.data, x.batch, C, H * W, y.data, y.accumulate);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
