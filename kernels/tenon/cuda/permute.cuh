// Converts images between channels-last (H, W, C), used inside a network, and channels-first (C, H, W), used outside.
//   to_channels_first   x (B, H, W, C) -> y (B, C, H, W)        to_channels_last   x (B, C, H, W) -> y (B, H, W, C)
// Each is the gradient of the other, so both can add to y.
// Strategy  each image is a matrix to transpose. permute_tiles: a block moves a tile of 32 x 32 through shared memory, so
//           that it reads and writes whole rows. permute_gather, if one side is too short to fill a tile: a thread owns an
//           element of y; the strided reads of a warp together use whole cache lines. With one channel or one pixel, both
//           orders are the same: a copy.
// Cost      8 bytes per value, 12 if added to y, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/elementwise.cuh"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned permute_tile = 32, permute_threads = 256;
inline constexpr int permute_short_side = 12;  // if shorter, most threads of a tile would be idle

template <class T>
struct PermuteTile {
  T v[permute_tile][permute_tile + 1];  // one more: the values of a column lie in 32 banks
};

// y (batch, cols, rows) = x (batch, rows, cols), each transposed, or += it. Blocks: (batch, tiles down, tiles across).
template <class T>
__global__ void permute_tiles(const T* x, int rows, int cols, T* y, bool accumulate) {
  PermuteTile<T>& tile = shared_memory<PermuteTile<T>>();
  constexpr int size = permute_tile;
  const unsigned down = static_cast<unsigned>(rows + size - 1) / size,
                 across = static_cast<unsigned>(cols + size - 1) / size;
  const unsigned number = blockIdx.x % (down * across);
  const std::size_t image =
      std::size_t{blockIdx.x / (down * across)} * static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  const int r0 = static_cast<int>(number / across) * size, c0 = static_cast<int>(number % across) * size;
  const int l = static_cast<int>(lane()), w = static_cast<int>(warp());
  constexpr int warps = permute_threads / warp_size;
  for (int r = w; r < size; r += warps)
    if (r0 + r < rows && c0 + l < cols)
      tile.v[r][l] = x[image + static_cast<std::size_t>(r0 + r) * static_cast<std::size_t>(cols) +
                       static_cast<std::size_t>(c0 + l)];
  __syncthreads();
  for (int c = w; c < size; c += warps)
    if (c0 + c < cols && r0 + l < rows) {
      T* const to = y + image + static_cast<std::size_t>(c0 + c) * static_cast<std::size_t>(rows) +
                    static_cast<std::size_t>(r0 + l);
      *to = accumulate ? *to + tile.v[l][c] : tile.v[l][c];
    }
}

// The same, n values in total.
template <class T, int Rows, int Cols>
__global__ void permute_gather(std::size_t n, const T* x, T* y, bool accumulate) {
  const std::size_t i = global_thread();
  if (i >= n) return;
  constexpr unsigned sample = unsigned{Rows} * Cols;
  const std::size_t image = i / sample;
  const unsigned at = static_cast<unsigned>(i - image * sample), r = at % Rows, c = at / Rows;
  const T v = x[image * sample + r * unsigned{Cols} + c];
  y[i] = accumulate ? y[i] + v : v;
}

/// y (batch, Cols, Rows) = x (batch, Rows, Cols), each transposed, or += it. Does nothing if y is null.
template <class T, int Rows, int Cols>
void transpose_images(Cuda& dev, const T* x, int batch, T* y, bool accumulate) {
  if (!y) return;
  constexpr std::size_t sample = std::size_t{Rows} * Cols;
  const std::size_t n = static_cast<std::size_t>(batch) * sample;
  if constexpr (Rows == 1 || Cols == 1) {
    for_each_wide<T>(dev, "permute_copy", n, Accumulate<T>{x, y, accumulate}, x, y);
  } else if constexpr (Rows < permute_short_side || Cols < permute_short_side) {
    launch(dev, "permute_gather", permute_gather<T, Rows, Cols>, {blocks_for(n, permute_threads)}, {permute_threads}, 0,
           n, x, y, accumulate);
  } else {
    const unsigned tiles = blocks_for(Rows, permute_tile) * blocks_for(Cols, permute_tile);
    launch(dev, "permute_tiles", permute_tiles<T>, {static_cast<unsigned>(batch) * tiles}, {permute_threads},
           sizeof(PermuteTile<T>), x, Rows, Cols, y, accumulate);
  }
}

}  // namespace cuda

template <class T, int H, int W, int C>
void to_channels_first(Cuda& dev, std::type_identity_t<In<T, Batch, H, W, C>> x, Into<T, Batch, C, H, W> y) {
  cuda::transpose_images<T, H * W, C>(dev, x.data, y.batch, y.data, y.accumulate);
}

template <class T, int H, int W, int C>
void to_channels_last(Cuda& dev, std::type_identity_t<In<T, Batch, C, H, W>> x, Into<T, Batch, H, W, C> y) {
  cuda::transpose_images<T, C, H * W>(dev, x.data, y.batch, y.data, y.accumulate);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
