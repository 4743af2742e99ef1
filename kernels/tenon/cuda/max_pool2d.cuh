// MaxPool2d: the largest value of each window, and where in the window it was.
//   x (B, H, W, C)   ->   y (B, H', W', C), argmax (B, H', W', C): row * kw + column; may be null
//   backward         dx (B, H, W, C) = dy where the maximum was, summed over the windows that share it
// The first of equal values wins and NaN beats every number, as in PyTorch. Padding is never the maximum; that of a window
// of padding alone is minus infinity, and is nowhere.
// Strategy  forward: a thread a window and 16 bytes of channels. Backward: a thread a pixel and 16 bytes of channels, which
//           sums over the windows that may have chosen it, in order, so nothing is zeroed first and nothing is added twice.
// Cost      4 bytes a value of x and 5 a value of y, bound by memory; where windows overlap, caches serve the rest.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/window.cuh"

namespace tenon::kernels {

namespace cuda {

/// `Size` places, a byte each, as one number: the first is the lowest.
template <int Size>
using Places = std::conditional_t<Size == 4, std::uint32_t, std::conditional_t<Size == 2, std::uint16_t, std::uint8_t>>;

// The maximum over nothing, and its place.
template <class T>
inline constexpr T least = -std::numeric_limits<T>::infinity();
inline constexpr unsigned nowhere_at_all = 255;

template <class T, class Piece, class P>
__global__ void max_pool2d_window(std::size_t n, const T* x, T* y, std::uint8_t* argmax) {
  using D = PoolOf<P>;
  const std::size_t i = global_thread();
  if (i >= n) return;
  const typename D::template WindowAt<Piece> at(i);
  const T* const image = x + at.image * D::in + at.c;
  Piece most;
  unsigned places[Piece::size];
  for (int k = 0; k < Piece::size; ++k) most.v[k] = least<T>, places[k] = nowhere_at_all;
  bool begun = false;
  D::for_each_position(at.y, at.x, [&](int place, int offset) {
    const Piece p = load_piece<Piece>(image + offset);
    for (int k = 0; k < Piece::size; ++k)
      if (!begun || p.v[k] > most.v[k] || p.v[k] != p.v[k]) {
        most.v[k] = p.v[k];
        places[k] = static_cast<unsigned>(place);
      }
    begun = true;
  });
  store_piece(y + i * Piece::size, most);
  if (!argmax) return;
  unsigned all = 0;
  for (int k = 0; k < Piece::size; ++k) all |= places[k] << (8 * k);
  using Word = Places<Piece::size>;
  reinterpret_cast<Word*>(argmax)[i] = static_cast<Word>(all);
}

template <class T, class Piece, class P>
__global__ void max_pool2d_back_pixel(std::size_t n, const std::uint8_t* argmax, const T* dy, T* dx, bool add) {
  using D = PoolOf<P>;
  const std::size_t i = global_thread();
  if (i >= n) return;
  const typename D::template PixelAt<Piece> at(i);
  const std::size_t image = at.image * D::out + static_cast<std::size_t>(at.c);
  Piece sum{};
  if (add) sum = load_piece<Piece>(dx + i * Piece::size);
  D::for_each_window(at.y, at.x, [&](int place, int offset) {
    const std::size_t from = image + static_cast<std::size_t>(offset);
    const unsigned all = *reinterpret_cast<const Places<Piece::size>*>(argmax + from);
    const Piece g = load_piece<Piece>(dy + from);
    for (int k = 0; k < Piece::size; ++k)
      if ((all >> (8 * k) & 255u) == static_cast<unsigned>(place)) sum.v[k] += g.v[k];
  });
  store_piece(dx + i * Piece::size, sum);
}

/// Whether the places of a piece of 16 bytes of T can be read and written at once.
template <class T>
bool is_places_aligned(const std::uint8_t* p) {
  return reinterpret_cast<std::uintptr_t>(p) % Wide<T>::size == 0;
}

}  // namespace cuda

template <class T, PoolDims D>
void max_pool2d_forward(Cuda& dev, Pool<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                        Out<T, Batch, D.oh(), D.ow(), D.c> y,
                        std::type_identity_t<Out<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax) {
  const bool aligned =
      cuda::is_wide_aligned(x.data) && cuda::is_wide_aligned(y.data) && cuda::is_places_aligned<T>(argmax.data);
  cuda::with_pieces<T, D.c>(aligned, [&](auto piece) {
    using Piece = decltype(piece);
    const std::size_t n = y.size() / Piece::size;
    cuda::launch(dev, "max_pool2d_window", cuda::max_pool2d_window<T, Piece, Pool<D>>,
                 {cuda::blocks_for(n, cuda::pool_threads)}, {cuda::pool_threads}, 0, n, x.data, y.data, argmax.data);
  });
}

template <class T, PoolDims D>
void max_pool2d_backward(Cuda& dev, Pool<D>, std::type_identity_t<In<std::uint8_t, Batch, D.oh(), D.ow(), D.c>> argmax,
                         std::type_identity_t<In<T, Batch, D.oh(), D.ow(), D.c>> dy, Into<T, Batch, D.h, D.w, D.c> dx) {
  if (!dx) return;
  const bool aligned =
      cuda::is_wide_aligned(dy.data) && cuda::is_wide_aligned(dx.data) && cuda::is_places_aligned<T>(argmax.data);
  cuda::with_pieces<T, D.c>(aligned, [&](auto piece) {
    using Piece = decltype(piece);
    const std::size_t n = dx.size() / Piece::size;
    cuda::launch(dev, "max_pool2d_back_pixel", cuda::max_pool2d_back_pixel<T, Piece, Pool<D>>,
                 {cuda::blocks_for(n, cuda::pool_threads)}, {cuda::pool_threads}, 0, n, argmax.data, dy.data, dx.data,
                 dx.add);
  });
}

}  // namespace tenon::kernels
