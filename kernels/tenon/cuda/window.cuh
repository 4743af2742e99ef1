// Iterates over the windows of a pooling, for max_pool2d and avg_pool2d. A thread owns adjacent channels of one pixel: 16
// bytes of them if that divides the channels and every pointer is aligned, else one channel.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/core/geometry.hpp"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

inline constexpr unsigned pool_threads = 256;

/// One channel. Wide<T> is 16 bytes of channels.
template <class T>
struct One {
  static constexpr int size = 1;
  T v[1];
};

template <class Piece, class T>
__device__ __forceinline__ Piece load_piece(const T* at) {
  Piece p;
  load_values<true>(at, p.v);
  return p;
}
template <class Piece, class T>
__device__ __forceinline__ void store_piece(T* at, const Piece& p) {
  store_values<true>(at, p.v);
}

/// Calls f(Wide<T>{}) if 16 bytes divide C channels and `aligned` holds, else f(One<T>{}).
template <class T, int C, class F>
void with_pieces(bool aligned, const F& f) {
  if constexpr (C % Wide<T>::size == 0)
    if (aligned) return f(Wide<T>{});
  f(One<T>{});
}

/// Piece i of images (H, W, C): its image, its pixel and its first channel.
template <class Piece, int H, int W, int C>
struct PieceAt {
  std::size_t image;
  int y, x, c;

  __device__ __forceinline__ explicit PieceAt(std::size_t i) {
    constexpr unsigned groups = C / Piece::size, of_image = H * W * groups;
    image = i / of_image;
    const unsigned r = static_cast<unsigned>(i - image * of_image);
    y = static_cast<int>(r / (groups * W));
    x = static_cast<int>(r / groups % W);
    c = static_cast<int>(r % groups) * Piece::size;
  }
};

/// The sizes of PoolTag<D>. A kernel cannot be templated on D itself (nvcc 13).
template <class P>
struct PoolOf;
template <PoolDims D>
struct PoolOf<PoolTag<D>> {
  static constexpr int c = D.c, h = D.h, w = D.w, oh = D.oh(), ow = D.ow();
  static constexpr int kh = D.window.kh, kw = D.window.kw, sh = D.window.sh, sw = D.window.sw;
  static constexpr int ph = D.window.ph, pw = D.window.pw, dh = D.window.dh, dw = D.window.dw;
  static constexpr std::size_t in = static_cast<std::size_t>(h * w * c), out = static_cast<std::size_t>(oh * ow * c);

  template <class Piece>
  using PixelAt = PieceAt<Piece, h, w, c>;
  template <class Piece>
  using WindowAt = PieceAt<Piece, oh, ow, c>;

  /// Calls f(place, offset) for the positions of window (oy, ox) inside the image, row by row. place is row * kw + column,
  /// offset is that of the pixel in the image. Without padding, all positions are inside.
  template <class F>
  __device__ __forceinline__ static void for_each_position(int oy, int ox, const F& f) {
    for (int i = 0; i < kh; ++i) {
      const int y = oy * sh - ph + i * dh;
      if (ph > 0 && (y < 0 || y >= h)) continue;
      for (int j = 0; j < kw; ++j) {
        const int x = ox * sw - pw + j * dw;
        if (pw > 0 && (x < 0 || x >= w)) continue;
        f(i * kw + j, (y * w + x) * c);
      }
    }
  }

  /// Calls f(place, offset) for the windows that contain pixel (y, x), row by row. place is the position of the pixel in
  /// the window, offset is that of the window in the result.
  template <class F>
  __device__ __forceinline__ static void for_each_window(int y, int x, const F& f) {
    constexpr int tall = dh * (kh - 1), wide = dw * (kw - 1);  // from the first to the last pixel of a window
    const int oy0 = first(y + ph, tall, sh), ox0 = first(x + pw, wide, sw);
    for (int a = 0; a < tall / sh + 1; ++a) {
      const int oy = oy0 + a, down = y + ph - oy * sh;
      if (oy >= oh || down < 0 || down % dh != 0) continue;
      for (int b = 0; b < wide / sw + 1; ++b) {
        const int ox = ox0 + b, right = x + pw - ox * sw;
        if (ox >= ow || right < 0 || right % dw != 0) continue;
        f(down / dh * kw + right / dw, (oy * ow + ox) * c);
      }
    }
  }

 private:
  /// The first window that reaches `far`, if each window extends `length` beyond its first pixel.
  __device__ __forceinline__ static int first(int far, int length, int stride) {
    return far > length ? (far - length + stride - 1) / stride : 0;
  }
};

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
