// MaxPool2d: the largest value of each window, and its position in the window.
//   x (B, H, W, C)   ->   y (B, H', W', C), argmax (B, H', W', C): row * kw + column; may be null
//   backward         dx (B, H, W, C) = dy at the position of the maximum, summed over the windows that share it
// Of equal values the first is the maximum. NaN is larger than every number, as in PyTorch. Padding is never the maximum. A
// window that is only padding has the maximum minus infinity and the position no_argmax.
// Strategy  forward: a thread owns 16 bytes of channels of one window. Backward: a thread owns 16 bytes of channels of one
//           pixel and sums over the windows that contain it, in order. So dx is not zeroed first, and each value is added
//           once.
// Cost      4 bytes per value of x and 5 per value of y, bound by memory. If windows overlap, caches serve the repeated
//           reads.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/window.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

/// `Size` positions of one byte each, as one number. The first is the lowest byte.
template <int Size>
using Places = std::conditional_t<Size == 4, std::uint32_t, std::conditional_t<Size == 2, std::uint16_t, std::uint8_t>>;

// The maximum over no values, and its position.
template <class T>
inline constexpr T min = -std::numeric_limits<T>::infinity();
inline constexpr unsigned no_argmax = 255;

template <class T, class Piece, class P>
__global__ void max_pool2d_window(std::size_t n, const T* x, T* y, std::uint8_t* argmax) {
  using D = PoolOf<P>;
  const std::size_t i = global_thread();
  if (i >= n) return;
  const typename D::template WindowAt<Piece> at(i);
  const T* const image = x + at.image * D::in + at.c;
  Piece max;
  unsigned places[Piece::size];
  for (int k = 0; k < Piece::size; ++k) max.v[k] = min<T>, places[k] = no_argmax;
  bool begun = false;
  D::for_each_position(at.y, at.x, [&](int place, int offset) {
    const Piece p = load_piece<Piece>(image + offset);
    for (int k = 0; k < Piece::size; ++k)
      if (!begun || p.v[k] > max.v[k] || p.v[k] != p.v[k]) {
        max.v[k] = p.v[k];
        places[k] = static_cast<unsigned>(place);
      }
    begun = true;
  });
  store_piece(y + i * Piece::size, max);
  if (!argmax) return;
  unsigned all = 0;
  for (int k = 0; k < Piece::size; ++k) all |= places[k] << (8 * k);
  using Word = Places<Piece::size>;
  reinterpret_cast<Word*>(argmax)[i] = static_cast<Word>(all);
}

template <class T, class Piece, class P>
__global__ void max_pool2d_back_pixel(std::size_t n, const std::uint8_t* argmax, const T* dy, T* dx, bool accumulate) {
  using D = PoolOf<P>;
  const std::size_t i = global_thread();
  if (i >= n) return;
  const typename D::template PixelAt<Piece> at(i);
  const std::size_t image = at.image * D::out + static_cast<std::size_t>(at.c);
  Piece sum{};
  if (accumulate) sum = load_piece<Piece>(dx + i * Piece::size);
  D::for_each_window(at.y, at.x, [&](int place, int offset) {
    const std::size_t from = image + static_cast<std::size_t>(offset);
    const unsigned all = *reinterpret_cast<const Places<Piece::size>*>(argmax + from);
    const Piece g = load_piece<Piece>(dy + from);
    for (int k = 0; k < Piece::size; ++k)
      if ((all >> (8 * k) & 255u) == static_cast<unsigned>(place)) sum.v[k] += g.v[k];
  });
  store_piece(dx + i * Piece::size, sum);
}

/// Whether one access can read or write the positions of a piece of 16 bytes of T.
template <class T>
bool is_places_aligned(const std::uint8_t* p) {
  return reinterpret_cast<std::uintptr_t>(p) % Wide<T>::size == 0;
}

}  // namespace cuda

template <class T, PoolDims D>
void max_pool2d_forward(Cuda& dev, PoolTag<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                        Out<T, Batch, D.oh(), D.ow(), D.c> y,
                        std::type_identity_t<Out<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax) {
  const bool aligned =
      cuda::is_wide_aligned(x.data) && cuda::is_wide_aligned(y.data) && cuda::is_places_aligned<T>(argmax.data);
  cuda::with_pieces<T, D.c>(aligned, [&](auto piece) {
    using Piece = decltype(piece);
    const std::size_t n = y.size() / Piece::size;
    cuda::launch(dev, "max_pool2d_window", cuda::max_pool2d_window<T, Piece, PoolTag<D>>,
                 {cuda::blocks_for(n, cuda::pool_threads)}, {cuda::pool_threads}, 0, n, x.data, y.data, argmax.data);
  });
}

template <class T, PoolDims D>
void max_pool2d_backward(Cuda& dev, PoolTag<D>,
                         std::type_identity_t<In<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax,
                         std::type_identity_t<In<T, Batch, D.oh(), D.ow(), D.c>> dy, Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  const bool aligned =
      cuda::is_wide_aligned(dy.data) && cuda::is_wide_aligned(dx.data) && cuda::is_places_aligned<T>(argmax.data);
  cuda::with_pieces<T, D.c>(aligned, [&](auto piece) {
    using Piece = decltype(piece);
    const std::size_t n = dx.size() / Piece::size;
    cuda::launch(dev, "max_pool2d_back_pixel", cuda::max_pool2d_back_pixel<T, Piece, PoolTag<D>>,
                 {cuda::blocks_for(n, cuda::pool_threads)}, {cuda::pool_threads}, 0, n, argmax.data, dy.data, dx.data,
                 dx.accumulate);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
