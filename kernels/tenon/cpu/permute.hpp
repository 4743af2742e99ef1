// The two orders of an image: channels-last (H, W, C), as inside a network, and channels-first (C, H, W), as outside.
//   to_channels_first   x (B, H, W, C) -> y (B, C, H, W)        to_channels_last   x (B, C, H, W) -> y (B, H, W, C)
// Each is the other's gradient, so y may be added to.
// Strategy  a task owns some images; each is one transposed matrix.
// Cost      8 bytes a value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/transpose.hpp"

namespace tenon::kernels {

/// y (batch, cols, rows) = x (batch, rows, cols), each transposed, or += it; nothing if y is null.
template <class T>
void transpose_images(Cpu& dev, const T* x, int batch, int rows, int cols, T* y, bool add) {
  if (!y) return;
  const std::size_t size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  dev.parallel_chunks(static_cast<std::size_t>(batch), 16384 / size + 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) transpose(dev, x + b * size, rows, cols, cols, y + b * size, rows, add);
  });
}

template <class T, int H, int W, int C>
void to_channels_first(Cpu& dev, std::type_identity_t<In<T, Batch, H, W, C>> x, Into<T, Batch, C, H, W> y) {
  transpose_images(dev, x.data, x.batch, H * W, C, y.data, y.add);
}

template <class T, int H, int W, int C>
void to_channels_last(Cpu& dev, std::type_identity_t<In<T, Batch, C, H, W>> x, Into<T, Batch, H, W, C> y) {
  transpose_images(dev, x.data, x.batch, C, H * W, y.data, y.add);
}

}  // namespace tenon::kernels
