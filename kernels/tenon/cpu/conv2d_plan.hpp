// Decisions that depend on the shape of a convolution: strategies, bands, and the sizes of its memory.
//   forward          Winograd's algorithm where it fits, otherwise the direct strategy
//   gradient of w    lists of nonzeros after a pool, otherwise Winograd's algorithm where it fits, otherwise direct
//   gradient of x    lists of nonzeros after a pool; at stride 1 a forward convolution with the flipped weights; otherwise
//                    direct: dz w, added to dx patch by patch
// The portable path uses the direct strategy for every shape.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tenon/core/geometry.hpp"
#include "tenon/cpu/conv2d_direct.hpp"
#include "tenon/cpu/conv2d_patches.hpp"
#include "tenon/cpu/conv2d_sparse.hpp"
#include "tenon/cpu/conv2d_winograd.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Values in memory if the whole image were one band.
constexpr long long band_values(const ConvDims& d) {
  const ConvSizes s(d);
  return static_cast<long long>(s.oh) *
         (static_cast<long long>(s.ow) * d.o + static_cast<long long>(d.window.sh) * s.frame_w * d.c);
}

/// Forward: bands of 256 to 512 KiB. In batches below 16 a band also has at most 2^17 vector operations (40 us), so that
/// several threads have work. With AVX2 every result is a single sum, so its bits do not depend on the bands.
constexpr ConvBands forward_bands(const ConvDims& d, const Epilogue& f, int batch) {
  const ConvSizes s(d);
  const long long operations = static_cast<long long>(s.oh) * s.ow * d.groups * panels(s.og) * s.depth;
  return ConvBands(d, f, std::max(band_values(d) >> 16, batch < 16 ? operations >> 16 : 1));
}

/// Backward: bands of 256 to 512 KiB. Lists of nonzeros read the frame in random order, so their frame has about 40 KiB:
/// most repeated reads then hit an L1 cache of 32 or 48 KiB.
constexpr ConvBands backward_bands(const ConvDims& d, const Epilogue& f) {
  const long long frame = static_cast<long long>(frame_size(d, d.oh()));
  return ConvBands(d, f, std::max(band_values(d) >> 16, conv2d_is_sparse(d, f) ? ceil_div(frame, 10240LL) : 1));
}

/// True if stride, padding and order allow dx to be computed as a forward convolution of dz with the flipped weights.
constexpr bool input_gradient_is_forward(const ConvDims& d, const Epilogue& f) {
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

/// Values of T of the packed weights: the larger of the panels (groups, og / 16, K, 16) and Winograd's layout.
constexpr std::size_t conv2d_packed(ConvDims d) {
  return std::max(conv2d_panels(d), conv2d_fits_winograd(d) ? winograd_packed(d) : 0);
}

/// The strategy for the gradient of the weights. It determines the layout of the partial sums.
enum class WeightGradient { panels, runs, winograd };

constexpr WeightGradient weight_gradient(const ConvDims& d, const Epilogue& f) {
  if (conv2d_is_sparse(d, f)) return WeightGradient::runs;
  return conv2d_fits_winograd(d) ? WeightGradient::winograd : WeightGradient::panels;
}

/// Values of a partial dw. The portable path uses panels for every shape.
constexpr std::size_t conv2d_partial(const ConvDims& d, const Epilogue& f) {
  const WeightGradient by = weight_gradient(d, f);
  return std::max(conv2d_panels(d), by == WeightGradient::runs       ? ConvRuns(d).weights(d)
                                    : by == WeightGradient::winograd ? winograd_packed(d)
                                                                     : 0);
}

/// Number of partial sums of dw: 16, or as many as fit into 32 MiB of floats, but at least 4.
constexpr int conv2d_chunks(const ConvDims& d, const Epilogue& f) {
  const std::size_t room = (std::size_t{1} << 23) / conv2d_partial(d, f);
  return room < 4 ? 4 : room > 16 ? 16 : static_cast<int>(room);
}

/// Values of T in the workspace of backward: the partial dw and db, and the weights repacked for the gradient of x.
constexpr std::size_t conv2d_workspace(ConvDims d, Epilogue f) {
  return static_cast<std::size_t>(conv2d_chunks(d, f)) * (conv2d_partial(d, f) + static_cast<std::size_t>(d.o)) +
         (input_gradient_is_forward(d, f) ? conv2d_packed(input_gradient_dims(d))
          : conv2d_is_sparse(d, f)        ? ConvRuns(d).weights(d)
                                          : 0);
}

/// A worker's scratch in forward, for a band of `rows` rows. The scratch of the strategy follows it.
template <class T>
struct ForwardRoom {
  T* image;   // (rows, ow, o), if it is then pooled or transposed
  T* pooled;  // the result of the pool, if it is then transposed

  constexpr ForwardRoom(const ConvDims& d, const Epilogue& f, int rows, PatchScratch& s)
      : image(s.take<T>(f.pooled || f.channels_first ? static_cast<std::size_t>(rows * d.ow() * d.o) : 0)),
        pooled(s.take<T>(f.pooled && f.channels_first
                             ? static_cast<std::size_t>(rows / f.pool.kh * f.pool.out_w(d.ow()) * d.o)
                             : 0)) {}
};

template <class T>
struct DirectRoom {
  T* frame;  // rows of x with their padding
  T* block;  // rows of X
  int* tables;

  constexpr DirectRoom(const ConvDims& d, int rows, PatchScratch& s)
      : frame(s.take<T>(d.window.ph || d.window.pw ? frame_size(d, rows) : 0)),
        block(s.take<T>(static_cast<std::size_t>(patch_block * ConvSizes(d).depth))),
        tables(s.take<int>(Patches::size(d, rows))) {}
};

template <class T>
constexpr std::size_t forward_scratch(const ConvDims& d, const Epilogue& f) {
  const int rows = forward_bands(d, f, 16).rows;
  PatchScratch direct, winograd;
  ForwardRoom<T>(d, f, rows, direct);
  ForwardRoom<T>(d, f, rows, winograd);
  DirectRoom<T>(d, rows, direct);
  if (conv2d_fits_winograd(d)) WinogradRoom(d, rows, winograd);
  return std::max(direct.bytes(), winograd.bytes());
}

/// A worker's scratch in backward, for a band of `rows` rows. The scratch of the strategy follows it.
template <class T>
struct BackwardRoom {
  T* frame;   // rows of x with their padding, plus a row and a pixel that Winograd's tiles may read beyond
  T* dframe;  // the same of dx, plus rows below the last window if the stride exceeds the kernel
  T* pooled;  // dz (pixels of y, o), channels-last
  T* dz;      // dz before the pool, (rows, ow, o)
  T* block;   // rows of X or of dz w
  int* tables;

  constexpr BackwardRoom(const ConvDims& d, const Epilogue& f, int rows, PatchScratch& s)
      : frame(s.take<T>(frame_size(d, rows + 1) + static_cast<std::size_t>(d.c))),
        dframe(s.take<T>(input_gradient_is_forward(d, f) ? 0 : frame_size(d, rows + 1))),
        pooled(s.take<T>(f.channels_first ? static_cast<std::size_t>(pooled_pixels(d, f, rows) * d.o) : 0)),
        dz(s.take<T>(f.pooled ? static_cast<std::size_t>(rows * d.ow() * d.o) : 0)),
        block(s.take<T>(static_cast<std::size_t>(patch_block * ConvSizes(d).depth))),
        tables(s.take<int>(Patches::size(d, rows))) {}

  /// Pixels of y that `rows` rows of the convolution produce.
  static constexpr int pooled_pixels(const ConvDims& d, const Epilogue& f, int rows) {
    return f.pooled ? rows / f.pool.kh * f.pool.out_w(d.ow()) : rows * d.ow();
  }
};

/// Bytes of a worker's scratch: the maximum of forward and backward.
template <class T>
constexpr std::size_t conv2d_scratch(ConvDims d, Epilogue f) {
  PatchScratch backward;
  const int rows = backward_bands(d, f).rows;
  BackwardRoom<T>(d, f, rows, backward);
  if (weight_gradient(d, f) == WeightGradient::runs)
    SparseRoom(d, f, BackwardRoom<T>::pooled_pixels(d, f, rows), backward);
  if (weight_gradient(d, f) == WeightGradient::winograd) WinogradGradientRoom(d, backward);
  return std::max({forward_scratch<T>(d, f), backward.bytes(),
                   input_gradient_is_forward(d, f) ? forward_scratch<T>(input_gradient_dims(d), Epilogue{}) : 0});
}

// The code that a convolution uses. Functions take one as a template argument, so that a program has no code for strategies
// that its convolutions do not take. Convolutions with equal values share their code.

struct ForwardPaths {
  bool winograd = false;  // with AVX2: Winograd's algorithm
  bool pools = false;     // with AVX2: the epilogue's pool of 2 x 2 in registers

  constexpr ForwardPaths() = default;
  constexpr ForwardPaths(const ConvDims& d, const Epilogue& f)
      : winograd(conv2d_fits_winograd(d)), pools(f.pooled && f.pool.kh == 2 && f.pool.kw == 2) {}
};

enum class InputGradient { none, forward, scattered };

struct BackwardPaths {
  WeightGradient weights = WeightGradient::panels;  // with AVX2
  RunTile tile{};                                   // of WeightGradient::runs
  InputGradient input = InputGradient::none;
  ForwardPaths input_forward{};  // of InputGradient::forward

  constexpr BackwardPaths(const ConvDims& d, const Epilogue& f, bool has_dx) : weights(weight_gradient(d, f)) {
    if (weights == WeightGradient::runs) tile = ConvRuns(d).tile;
    if (!has_dx) return;
    input = input_gradient_is_forward(d, f) ? InputGradient::forward : InputGradient::scattered;
    if (input == InputGradient::forward) input_forward = ForwardPaths(input_gradient_dims(d), Epilogue{});
  }
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
