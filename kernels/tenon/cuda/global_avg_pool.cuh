// GlobalAvgPool: the mean of each channel over all pixels.
//   x (B, H, W, C)   ->   y (B, C)      backward   dx (B, H, W, C) = dy / (H W)
// Strategy  a block of 8 warps owns 128 bytes of channels of one image, or all channels if they are fewer. Adjacent threads
//           take adjacent pieces of a pixel, the other threads the next pixels. Sums are combined by shuffles, then in
//           shared memory, in an order that depends only on the shape. The backward pass has the same layout, with dy in
//           a register.
// Fits      many images or channels: a block visits all pixels, and after convolutions there are few.
// Cost      4 bytes per value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/window.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

/// Pieces of 128 bytes, or of C channels, rounded up to a power of two pieces.
template <class Piece, int C>
constexpr int pieces_per_block() {
  int n = 1;
  while (n * static_cast<int>(sizeof(Piece)) < 128 && n * Piece::size < C) n *= 2;
  return n;
}

/// The work of a thread: every `rows`-th pixel from `pixel` on, for the channels from c on, if c is a channel.
template <class Piece, int Across>
struct ChannelsOfBlock {
  static constexpr int rows = static_cast<int>(pool_threads) / Across, channels = Across * Piece::size;
  std::size_t image;
  int first_channel, c, pixel;

  __device__ __forceinline__ explicit ChannelsOfBlock(int c_all) {
    const unsigned chunks = static_cast<unsigned>(c_all + channels - 1) / channels;
    image = blockIdx.x / chunks;
    first_channel = static_cast<int>(blockIdx.x % chunks) * channels;
    c = first_channel + static_cast<int>(threadIdx.x) % Across * Piece::size;
    pixel = static_cast<int>(threadIdx.x) / Across;
  }
};

template <class T, class Piece, int Across>
struct ChannelSums {
  T of_warp[pool_threads / warp_size][Across * Piece::size];
};

template <class T, class Piece, int Across>
__global__ void global_avg_pool_block(const T* x, int pixels, int channels, T* y) {
  auto& shared = shared_memory<ChannelSums<T, Piece, Across>>();
  const ChannelsOfBlock<Piece, Across> own(channels);
  const T* const from = x + own.image * static_cast<std::size_t>(pixels) * static_cast<std::size_t>(channels) + own.c;
  Piece sum{};
  if (own.c < channels)
    for (int p = own.pixel; p < pixels; p += own.rows) {
      const Piece v = load_piece<Piece>(from + static_cast<std::size_t>(p) * static_cast<std::size_t>(channels));
      for (int k = 0; k < Piece::size; ++k) sum.v[k] += v.v[k];
    }
  for (int k = 0; k < Piece::size; ++k) {
    for (int by = warp_size / 2; by >= Across; by /= 2) sum.v[k] += __shfl_xor_sync(all_lanes, sum.v[k], by);
    if (lane() < Across) shared.of_warp[warp()][lane() * Piece::size + static_cast<unsigned>(k)] = sum.v[k];
  }
  __syncthreads();
  const int t = static_cast<int>(threadIdx.x), c = own.first_channel + t;
  if (t >= own.channels || c >= channels) return;
  T s = 0;
  for (unsigned w = 0; w < pool_threads / warp_size; ++w) s += shared.of_warp[w][t];
  y[own.image * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)] = s / static_cast<T>(pixels);
}

template <class T, class Piece, int Across>
__global__ void global_avg_pool_back_block(const T* dy, int pixels, int channels, T* dx, bool accumulate) {
  const ChannelsOfBlock<Piece, Across> own(channels);
  if (own.c >= channels) return;
  Piece g = load_piece<Piece>(dy + own.image * static_cast<std::size_t>(channels) + own.c);
  for (int k = 0; k < Piece::size; ++k) g.v[k] /= static_cast<T>(pixels);
  T* const to = dx + own.image * static_cast<std::size_t>(pixels) * static_cast<std::size_t>(channels) + own.c;
  for (int p = own.pixel; p < pixels; p += own.rows) {
    T* const at = to + static_cast<std::size_t>(p) * static_cast<std::size_t>(channels);
    Piece v = g;
    if (accumulate) {
      const Piece old = load_piece<Piece>(at);
      for (int k = 0; k < Piece::size; ++k) v.v[k] += old.v[k];
    }
    store_piece(at, v);
  }
}

}  // namespace cuda

template <class T, int H, int W, int C>
void global_avg_pool_forward(Cuda& dev, In<T, Batch, H, W, C> x, Out<T, Batch, C> y) {
  cuda::with_pieces<T, C>(cuda::is_wide_aligned(x.data), [&](auto piece) {
    using Piece = decltype(piece);
    constexpr int across = cuda::pieces_per_block<Piece, C>();
    cuda::launch(dev, "global_avg_pool_block", cuda::global_avg_pool_block<T, Piece, across>,
                 {static_cast<unsigned>(y.batch) * cuda::blocks_for(C, across * Piece::size)}, {cuda::pool_threads},
                 sizeof(cuda::ChannelSums<T, Piece, across>), x.data, H * W, C, y.data);
  });
}

template <class T, int H, int W, int C>
void global_avg_pool_backward(Cuda& dev, std::type_identity_t<In<T, Batch, C>> dy, Into<T, Batch, H, W, C> dx) {
  if (!dx) return;
  cuda::with_pieces<T, C>(cuda::is_wide_aligned(dy.data) && cuda::is_wide_aligned(dx.data), [&](auto piece) {
    using Piece = decltype(piece);
    constexpr int across = cuda::pieces_per_block<Piece, C>();
    cuda::launch(dev, "global_avg_pool_back_block", cuda::global_avg_pool_back_block<T, Piece, across>,
                 {static_cast<unsigned>(dx.batch) * cuda::blocks_for(C, across * Piece::size)}, {cuda::pool_threads}, 0,
                 dy.data, H * W, C, dx.data, dx.accumulate);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
