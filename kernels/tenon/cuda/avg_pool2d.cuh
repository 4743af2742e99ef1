// AvgPool2d: the mean of each window. Padding counts as zeros, as in PyTorch with count_include_pad = true.
//   x (B, H, W, C)   ->   y (B, H', W', C)      backward   dx (B, H, W, C) = dy / (kh kw), summed over the windows
// Strategy  forward: a thread owns 16 bytes of channels of one window. Backward: a thread owns 16 bytes of channels of one
//           pixel and sums over the windows that contain it, in order.
// Cost      4 bytes per value read or written, bound by memory. If windows overlap, caches serve the repeated reads.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/window.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

template <class T, class Piece, class P>
__global__ void avg_pool2d_window(std::size_t n, const T* x, T* y) {
  using D = PoolOf<P>;
  const std::size_t i = global_thread();
  if (i >= n) return;
  const typename D::template WindowAt<Piece> at(i);
  const T* const image = x + at.image * D::in + at.c;
  Piece sum{};
  D::for_each_position(at.y, at.x, [&](int, int offset) {
    const Piece p = load_piece<Piece>(image + offset);
    for (int k = 0; k < Piece::size; ++k) sum.v[k] += p.v[k];
  });
  constexpr T share = T(1) / static_cast<T>(D::kh * D::kw);
  for (int k = 0; k < Piece::size; ++k) sum.v[k] *= share;
  store_piece(y + i * Piece::size, sum);
}

template <class T, class Piece, class P>
__global__ void avg_pool2d_back_pixel(std::size_t n, const T* dy, T* dx, bool accumulate) {
  using D = PoolOf<P>;
  const std::size_t i = global_thread();
  if (i >= n) return;
  const typename D::template PixelAt<Piece> at(i);
  const T* const image = dy + at.image * D::out + at.c;
  constexpr T share = T(1) / static_cast<T>(D::kh * D::kw);
  Piece sum{};
  if (accumulate) sum = load_piece<Piece>(dx + i * Piece::size);
  D::for_each_window(at.y, at.x, [&](int, int offset) {
    const Piece g = load_piece<Piece>(image + offset);
    for (int k = 0; k < Piece::size; ++k) sum.v[k] += g.v[k] * share;
  });
  store_piece(dx + i * Piece::size, sum);
}

}  // namespace cuda

template <class T, PoolDims D>
void avg_pool2d_forward(Cuda& dev, PoolTag<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                        Out<T, Batch, D.oh(), D.ow(), D.c> y) {
  cuda::with_pieces<T, D.c>(cuda::is_wide_aligned(x.data) && cuda::is_wide_aligned(y.data), [&](auto piece) {
    using Piece = decltype(piece);
    const std::size_t n = y.size() / Piece::size;
    cuda::launch(dev, "avg_pool2d_window", cuda::avg_pool2d_window<T, Piece, PoolTag<D>>,
                 {cuda::blocks_for(n, cuda::pool_threads)}, {cuda::pool_threads}, 0, n, x.data, y.data);
  });
}

template <class T, PoolDims D>
void avg_pool2d_backward(Cuda& dev, PoolTag<D>, std::type_identity_t<In<T, Batch, D.oh(), D.ow(), D.c>> dy,
                         Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  cuda::with_pieces<T, D.c>(cuda::is_wide_aligned(dy.data) && cuda::is_wide_aligned(dx.data), [&](auto piece) {
    using Piece = decltype(piece);
    const std::size_t n = dx.size() / Piece::size;
    cuda::launch(dev, "avg_pool2d_back_pixel", cuda::avg_pool2d_back_pixel<T, Piece, PoolTag<D>>,
                 {cuda::blocks_for(n, cuda::pool_threads)}, {cuda::pool_threads}, 0, n, dy.data, dx.data,
                 dx.accumulate);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
