// What a convolution decides from its shape: strategies, bands, and with them its sizes in memory.
//   forward          Winograd's algorithm where it fits, else the direct way
//   gradient of w    lists of nonzeros after a pool, else Winograd's, else the direct way
//   gradient of x    lists after a pool; at stride 1 a forward convolution with the weights turned; else scattered patches
// The portable path goes the direct way whatever the shape.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tenon/core/geometry.hpp"
#include "tenon/cpu/conv2d_direct.hpp"
#include "tenon/cpu/conv2d_patches.hpp"
#include "tenon/cpu/conv2d_sparse.hpp"
#include "tenon/cpu/conv2d_winograd.hpp"

namespace tenon::kernels {

/// Values that a band of the whole image would take.
constexpr long long band_values(const ConvDims& d) {
  const ConvSizes s(d);
  return static_cast<long long>(s.oh) *
         (static_cast<long long>(s.ow) * d.o + static_cast<long long>(d.window.sh) * s.frame_w * d.c);
}

/// Forward: 256 to 512 KiB; of a small batch also no more than 2^17 vector operations (40 us), so that there is work for several
/// threads. With AVX2 every result is one sum by itself, so that its bits do not depend on this.
constexpr ConvBands forward_bands(const ConvDims& d, const Fuse& f, int batch) {
  const ConvSizes s(d);
  const long long operations = static_cast<long long>(s.oh) * s.ow * d.groups * panels(s.og) * s.depth;
  return ConvBands(d, f, std::max(band_values(d) >> 16, batch < 16 ? operations >> 16 : 1));
}

/// Backward: 256 to 512 KiB; or, where lists of nonzeros read the frame at random, a frame of 40 KiB: most of what is read
/// again then comes from a first cache of 32 or 48 KiB.
constexpr ConvBands backward_bands(const ConvDims& d, const Fuse& f) {
  const long long frame = static_cast<long long>(frame_size(d, d.oh()));
  return ConvBands(d, f, std::max(band_values(d) >> 16, conv2d_is_sparse(d, f) ? ceil_div(frame, 10240LL) : 1));
}

/// Where stride and order let dx be a convolution of dz by itself: that of the flipped weights.
constexpr bool input_gradient_is_forward(const ConvDims& d, const Fuse& f) {
  const Window& w = d.window;
  return !f.pooled && !f.channels_first && w.sh == 1 && w.sw == 1 && w.ph <= w.dh * (w.kh - 1) &&
         w.pw <= w.dw * (w.kw - 1);
}
constexpr ConvDims input_gradient_dims(const ConvDims& d) {
  const Window& w = d.window;
  return {d.o, d.oh(),   d.ow(),
          d.c, d.groups, {w.kh, w.kw, 1, 1, w.dh * (w.kh - 1) - w.ph, w.dw * (w.kw - 1) - w.pw, w.dh, w.dw}};
}

constexpr std::size_t conv2d_panels(const ConvDims& d) {
  const ConvSizes s(d);
  return static_cast<std::size_t>(d.groups) * gemm_packed(s.og, s.depth);
}

/// Values of T of the weights as forward wants them: in panels (groups, og / 16, K, 16), or Winograd's.
constexpr std::size_t conv2d_packed(ConvDims d) {
  return std::max(conv2d_panels(d), conv2d_fits_winograd(d) ? winograd_packed(d) : 0);
}

/// How the gradient of the weights is found, and with it the layout of its partial sums.
enum class WeightGradient { panels, runs, winograd };

constexpr WeightGradient weight_gradient(const ConvDims& d, const Fuse& f) {
  if (conv2d_is_sparse(d, f)) return WeightGradient::runs;
  return conv2d_fits_winograd(d) ? WeightGradient::winograd : WeightGradient::panels;
}

/// Values of a partial dw. The portable path has panels whatever the shape.
constexpr std::size_t conv2d_partial(const ConvDims& d, const Fuse& f) {
  const WeightGradient by = weight_gradient(d, f);
  return std::max(conv2d_panels(d), by == WeightGradient::runs       ? ConvRuns(d).weights(d)
                                    : by == WeightGradient::winograd ? winograd_packed(d)
                                                                     : 0);
}

/// Partial sums of dw: 16, but of large weights fewer, so that they take no more than 32 MiB; 4 at least.
constexpr int conv2d_chunks(const ConvDims& d, const Fuse& f) {
  const std::size_t room = (std::size_t{1} << 23) / conv2d_partial(d, f);
  return room < 4 ? 4 : room > 16 ? 16 : static_cast<int>(room);
}

/// Values of T that backward shares: the partial dw and db, and the weights as the gradient of x wants them.
constexpr std::size_t conv2d_workspace(ConvDims d, Fuse f) {
  return static_cast<std::size_t>(conv2d_chunks(d, f)) * (conv2d_partial(d, f) + static_cast<std::size_t>(d.o)) +
         (input_gradient_is_forward(d, f) ? conv2d_packed(input_gradient_dims(d))
          : conv2d_is_sparse(d, f)        ? ConvRuns(d).weights(d)
                                          : 0);
}

/// A worker's scratch of forward, for a band of `rows` rows; behind it lies that of the strategy.
template <class T>
struct ForwardRoom {
  T* image;   // (rows, ow, o), where it is pooled or put in another order
  T* pooled;  // after the pool, where it is put in another order

  constexpr ForwardRoom(const ConvDims& d, const Fuse& f, int rows, Scratch& s)
      : image(s.take<T>(f.pooled || f.channels_first ? static_cast<std::size_t>(rows * d.ow() * d.o) : 0)),
        pooled(s.take<T>(f.pooled && f.channels_first
                             ? static_cast<std::size_t>(rows / f.pool.kh * f.pool.out_w(d.ow()) * d.o)
                             : 0)) {}
};

template <class T>
struct DirectRoom {
  T* frame;  // rows of x in their padding
  T* block;  // rows of X
  int* tables;

  constexpr DirectRoom(const ConvDims& d, int rows, Scratch& s)
      : frame(s.take<T>(d.window.ph || d.window.pw ? frame_size(d, rows) : 0)),
        block(s.take<T>(static_cast<std::size_t>(patch_block * ConvSizes(d).depth))),
        tables(s.take<int>(Patches::size(d, rows))) {}
};

template <class T>
constexpr std::size_t forward_scratch(const ConvDims& d, const Fuse& f) {
  const int rows = forward_bands(d, f, 16).rows;
  Scratch direct, winograd;
  ForwardRoom<T>(d, f, rows, direct);
  ForwardRoom<T>(d, f, rows, winograd);
  DirectRoom<T>(d, rows, direct);
  if (conv2d_fits_winograd(d)) WinogradRoom(d, rows, winograd);
  return std::max(direct.bytes(), winograd.bytes());
}

/// A worker's scratch of backward, for a band of `rows` rows; behind it lies that of the strategy.
template <class T>
struct BackwardRoom {
  T* frame;   // rows of x in their padding, and what Winograd's tiles overrun: a row and a pixel
  T* dframe;  // and of dx, and the row below the last window where the stride is larger than the kernel
  T* pooled;  // dz (pixels of y, o), channels-last
  T* dz;      // the same spread over the windows, (rows, ow, o)
  T* block;   // rows of X
  int* tables;

  constexpr BackwardRoom(const ConvDims& d, const Fuse& f, int rows, Scratch& s)
      : frame(s.take<T>(frame_size(d, rows + 1) + static_cast<std::size_t>(d.c))),
        dframe(s.take<T>(input_gradient_is_forward(d, f) ? 0 : frame_size(d, rows + 1))),
        pooled(s.take<T>(f.channels_first ? static_cast<std::size_t>(pooled_pixels(d, f, rows) * d.o) : 0)),
        dz(s.take<T>(f.pooled ? static_cast<std::size_t>(rows * d.ow() * d.o) : 0)),
        block(s.take<T>(static_cast<std::size_t>(patch_block * ConvSizes(d).depth))),
        tables(s.take<int>(Patches::size(d, rows))) {}

  /// Pixels of y that come of `rows` rows.
  static constexpr int pooled_pixels(const ConvDims& d, const Fuse& f, int rows) {
    return f.pooled ? rows / f.pool.kh * f.pool.out_w(d.ow()) : rows * d.ow();
  }
};

/// Bytes of a worker's scratch: the larger of what forward and backward want.
template <class T>
constexpr std::size_t conv2d_scratch(ConvDims d, Fuse f) {
  Scratch backward;
  const int rows = backward_bands(d, f).rows;
  BackwardRoom<T>(d, f, rows, backward);
  if (weight_gradient(d, f) == WeightGradient::runs)
    SparseRoom(d, f, BackwardRoom<T>::pooled_pixels(d, f, rows), backward);
  if (weight_gradient(d, f) == WeightGradient::winograd) WinogradGradientRoom(d, backward);
  return std::max({forward_scratch<T>(d, f), backward.bytes(),
                   input_gradient_is_forward(d, f) ? forward_scratch<T>(input_gradient_dims(d), Fuse{}) : 0});
}

/// True where the weights are packed for Winograd's algorithm: a question of the instruction set, too.
template <class T>
bool takes_winograd(const Cpu& dev, const ConvDims& d) {
  return conv2d_fits_winograd(d) && takes_avx2<T>(dev);
}

/// The strategy on this device.
template <class T>
WeightGradient weight_gradient(const Cpu& dev, const ConvDims& d, const Fuse& f) {
  return takes_avx2<T>(dev) ? weight_gradient(d, f) : WeightGradient::panels;
}

}  // namespace tenon::kernels
