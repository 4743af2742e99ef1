// Conv2d: y = order(max_pool(f(conv(x, w) + b))), and its gradients. The epilogue defines f, the pool and the order of y.
//   x (B, H, W, C)   w (O, C / groups, kh, kw)   b (O) or null  ->  y (B, H', W', O), or (B, O, H', W')
//   argmax (B, H', W', O), always channels-last: row * pool.kw + column of the maximum; null if not wanted
//   dx (B, H, W, C)   dw (O, C / groups, kh, kw)   db (O), from dy in the order of y; dy is overwritten
// Strategy  matrix products whose operands are fetched by address: conv2d_forward.cuh and conv2d_backward.cuh. Images of
//           few channels: conv2d_direct.cuh. Weights are packed once per step to (O, kh, kw, C / groups).
// Cost      2 B oh ow O K operations each for y, dx and dw, K = kh kw C / groups. Scratch of the backward pass: the
//           transposed weights, up to about 5 MiB of partial sums, and a copy of dy if y is channels-first.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "tenon/common/conv2d.hpp"  // conv2d_workspace_sizes
#include "tenon/core/view.hpp"
#include "tenon/cuda/conv2d_backward.cuh"
#include "tenon/cuda/conv2d_direct.cuh"
#include "tenon/cuda/conv2d_forward.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

/// Sizes of D and its epilogue F that kernels need as constants.
template <ConvDims D, Epilogue F>
struct ConvOf {
  static constexpr Window window = D.window, pool = F.pooled ? F.pool : Window{};
  static constexpr int cg = D.c / D.groups, og = D.o / D.groups, taps = window.kh * window.kw, depth = cg * taps;
  static constexpr int oh = D.oh(), ow = D.ow(), y_h = pool.out_h(oh), y_w = pool.out_w(ow);
  static constexpr bool pools_in_tile = pool.kh * pool.kw <= 64;
  static constexpr int tiles =
      (depth + 63) / 64 * ((og + conv_gradient_columns<og> - 1) / conv_gradient_columns<og>)*D.groups;
  static constexpr int max_parts = (conv_blocks + tiles - 1) / tiles;  // of the weight gradient
  using Source = std::conditional_t<F.pooled, PooledGradient<pool.kh, pool.kw>, DenseGradient>;
};

template <class T>
void conv_pack(const Cuda& dev, const ConvWeights<T>& p) {
  launch(dev, "conv2d_pack", conv2d_pack<T>, {blocks_for(p.size(), 256)}, {256}, 0, p);
}

/// y = order(pool(f(conv(x) + bias))) by tiles.
template <ConvDims D, Epilogue F, class Function, class T>
void conv_forward(const Cuda& dev, int batch, const T* x, const T* packed, const T* bias, T* y, std::uint8_t* argmax) {
  using Sizes = ConvOf<D, F>;
  constexpr Window w = D.window, pool = Sizes::pool;
  ScratchAllocator scratch(dev);
  ConvProblem<T> p{};
  p.x = x, p.w = packed, p.bias = bias;
  p.y = y, p.argmax = argmax, p.channels_first = F.channels_first;
  p.batch = batch, p.groups = D.groups, p.window = w;
  p.h = p.limit_h = D.h, p.wide = p.limit_w = D.w, p.c = D.c, p.cg = Sizes::cg;
  p.o = D.o, p.og = Sizes::og, p.out_h = Sizes::y_h, p.out_w = Sizes::y_w, p.pool_h = pool.kh, p.pool_w = pool.kw;
  p.taps = Sizes::taps, p.taps_across = w.kw, p.classes = 1;
  p.down = forward_axis(Sizes::y_h, pool.kh, w.kh, w.sh, w.ph, w.dh);
  p.across = forward_axis(Sizes::y_w, pool.kw, w.kw, w.sw, w.pw, w.dw);
  run_rows<Sizes::cg, Sizes::og, Sizes::taps, DenseGradient, Function>(dev, scratch, "conv2d_forward", p,
                                                                       Sizes::y_h * Sizes::y_w);
}

/// Computes the partial sums of dw, (parts, K, O). Returns the number of parts.
template <ConvDims D, Epilogue F, class T>
int conv_weight_gradient(const Cuda& dev, ScratchAllocator& scratch, int batch, const T* x, const T* g,
                         const std::uint8_t* argmax, T* partial) {
  using Sizes = ConvOf<D, F>;
  const ConvParts parts =
      conv_parts(static_cast<std::size_t>(batch) * Sizes::oh * Sizes::ow, Sizes::max_parts, conv_part_min);
  ConvGradient<T> p{};
  p.x = x, p.g = g, p.places = F.pooled ? argmax : nullptr, p.partial = partial;
  p.batch = batch, p.groups = D.groups, p.window = D.window, p.each = parts.each;
  p.h = D.h, p.wide = D.w, p.c = D.c, p.cg = Sizes::cg;
  p.out_h = Sizes::oh, p.out_w = Sizes::ow, p.depth = Sizes::depth;
  p.g_h = Sizes::y_h, p.g_w = Sizes::y_w, p.o = D.o, p.og = Sizes::og;
  run_columns<Sizes::cg, Sizes::og, Sizes::taps, typename Sizes::Source>(dev, scratch, p, parts.count);
  return parts.count;
}

template <ConvDims D, Epilogue F, class T>
void conv_input_gradient(const Cuda& dev, ScratchAllocator& scratch, int batch, const T* g, const std::uint8_t* argmax,
                         const T* turned, T* dx, bool accumulate) {
  using Sizes = ConvOf<D, F>;
  constexpr Window w = D.window;
  ConvProblem<T> p{};
  p.x = g, p.w = turned, p.places = F.pooled ? argmax : nullptr;
  p.y = dx, p.accumulate = accumulate;
  p.batch = batch, p.groups = D.groups, p.window = w;
  p.h = Sizes::y_h, p.wide = Sizes::y_w, p.limit_h = Sizes::oh, p.limit_w = Sizes::ow, p.c = D.o, p.cg = Sizes::og;
  p.o = D.c, p.og = Sizes::cg, p.out_h = p.size_h = D.h, p.out_w = p.size_w = D.w, p.pool_h = p.pool_w = 1;
  p.taps = Sizes::taps, p.taps_across = w.kw, p.classes = w.sh * w.sw;
  p.down = gradient_axis(0, D.h, w.kh, w.sh, w.ph, w.dh);
  p.across = gradient_axis(0, D.w, w.kw, w.sw, w.pw, w.dw);
  constexpr int max = ((D.h + w.sh - 1) / w.sh) * ((D.w + w.sw - 1) / w.sw);
  run_rows<Sizes::og, Sizes::cg, Sizes::taps, typename Sizes::Source, ActivationFunction<Activation{}>>(
      dev, scratch, "conv2d_input_gradient", p, max);
}

}  // namespace cuda

/// Packs w (O, C / groups, kh, kw) for conv2d_forward.
template <class T, ConvDims D, int O, int CG, int KH, int KW>
void conv2d_prepare(Cuda& dev, ConvTag<D>, In<T, O, CG, KH, KW> w, Span<T> packed) {
  static_assert(conv2d_workspace_sizes(DeviceTag<Cuda>{}, D, Epilogue{}).packed == 1LL * O * CG * KH * KW,
                "tenon: the plan must hold as many packed values as there are weights");
  cuda::conv_pack<T>(dev, {w.data, D.o, D.o / D.groups, CG, KH * KW, false, packed.data});
}

template <class T, ConvDims D, Epilogue F, int... Y>
void conv2d_forward(Cuda& dev, ConvTag<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                    std::type_identity_t<Span<const T>> packed, std::type_identity_t<In<T, D.o>> b, EpilogueTag<F>,
                    Out<T, Batch, Y...> y, std::type_identity_t<Out<std::uint8_t, Batch, Y...>> argmax) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  using Direct = cuda::DirectOf<D, F>;
  using Sizes = cuda::ConvOf<D, F>;
  using Function = cuda::ActivationFunction<F.activation>;
  if constexpr (Direct::fits) {
    const bool wide = cuda::is_wide_aligned(y.data) && cuda::is_wide_aligned(argmax.data);
    cuda::launch(
        dev, "conv2d_direct", cuda::conv2d_direct<T, Direct, Function>,
        {cuda::blocks_for(static_cast<std::size_t>(y.batch) * Direct::cells * Direct::shares, cuda::conv_threads)},
        {cuda::conv_threads}, sizeof(cuda::DirectShared<T, Direct>), x.data, packed.data, b.data, y.batch, y.data,
        argmax.data, wide);
  } else if constexpr (Sizes::pools_in_tile) {
    cuda::conv_forward<D, F, Function>(dev, y.batch, x.data, packed.data, b.data, y.data, argmax.data);
  } else {
    constexpr Epilogue unpooled{F.activation};
    constexpr Window pool = F.pool;  // clang 14 passes F.pool itself as zeros
    cuda::ScratchAllocator scratch(dev);
    T* const z = scratch.take<T>(static_cast<std::size_t>(y.batch) * Sizes::oh * Sizes::ow * D.o);
    cuda::conv_forward<D, unpooled, Function>(dev, y.batch, x.data, packed.data, b.data, z, nullptr);
    cuda::launch(dev, "conv2d_pool", cuda::conv2d_pool<T>, {cuda::blocks_for(y.size(), 256)}, {256}, 0, z, y.batch,
                 Sizes::oh, Sizes::ow, D.o, pool, F.channels_first, y.data, argmax.data);
  }
}

/// Overwrites dy. Each of dx, dw and db may be null; dx is null if HasDx is false. y may be null if there is no activation.
template <class T, ConvDims D, bool HasDx, Epilogue F, int CG, int KH, int KW, int... Y>
void conv2d_backward(Cuda& dev, ConvTag<D, HasDx>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                     In<T, D.o, CG, KH, KW> w, std::type_identity_t<In<T, Batch, Y...>> y,
                     std::type_identity_t<In<std::uint8_t, Batch, Y...>> argmax, EpilogueTag<F>, Out<T, Batch, Y...> dy,
                     std::type_identity_t<Into<T, Batch, D.h, D.w, D.c>> dx,
                     std::type_identity_t<Into<T, D.o, CG, KH, KW>> dw, std::type_identity_t<Into<T, D.o>> db,
                     Span<T>) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  static_assert(F.activation.from_output(),
                "tenon: an activation fused for training must give its slope from its value");
  using Sizes = cuda::ConvOf<D, F>;
  using Direct = cuda::DirectOf<D, F>;
  using Function = cuda::ActivationFunction<F.activation>;
  cuda::ScratchAllocator scratch(dev);
  constexpr std::size_t weights = static_cast<std::size_t>(Sizes::depth) * D.o;
  constexpr int max = Direct::gradient_fits ? cuda::conv_blocks : Sizes::max_parts;
  T* const partial = dw ? scratch.take<T>(max * weights) : nullptr;
  T* const sums = db ? scratch.take<T>(static_cast<std::size_t>(cuda::conv_blocks) * D.o) : nullptr;
  int dw_parts = 0, db_parts = 0;

  if constexpr (Direct::gradient_fits)
    if (dw) {
      constexpr unsigned shares = (D.o + 31) / 32;
      const int each = (dy.batch + cuda::conv_blocks - 1) / cuda::conv_blocks;
      dw_parts = (dy.batch + each - 1) / each;
      if (db) db_parts = dw_parts;
      cuda::launch(dev, "conv2d_direct_gradient", cuda::conv2d_direct_gradient<T, Direct, Function>,
                   {static_cast<unsigned>(dw_parts), shares}, {cuda::direct_threads},
                   sizeof(cuda::DirectGradientShared<T, Direct>), x.data, y.data, argmax.data, dy.data, dy.batch, each,
                   partial, sums);
    }

  // g = dy times the derivative of the activation, channels-last, but still pooled
  const bool sums_left = db && db_parts == 0, is_used = dx || (dw && dw_parts == 0);
  const T* g = dy.data;
  if (sums_left || (is_used && (F.channels_first || !Function::identity))) {
    T* const to = F.channels_first ? scratch.take<T>(static_cast<std::size_t>(dy.batch) * Sizes::y_h * Sizes::y_w * D.o)
                                   : dy.data;
    const int parts = cuda::run_derivative<Function, F.channels_first, T>(
        dev, {dy.data, y.data, to, sums_left ? sums : nullptr, dy.batch, Sizes::y_h * Sizes::y_w, D.o, 0, 0});
    if (sums_left) db_parts = parts;
    g = to;
  }

  if constexpr (!Direct::gradient_fits)
    if (dw) dw_parts = cuda::conv_weight_gradient<D, F>(dev, scratch, dy.batch, x.data, g, argmax.data, partial);
  const cuda::ConvWeights<T> turning{
      w.data, D.o, Sizes::og, CG, Sizes::taps, true, dx ? scratch.take<T>(weights) : nullptr};
  if (dw || db) {
    const std::size_t values = (dw ? weights : 0) + (db ? weights / Sizes::depth : 0);
    const unsigned blocks = cuda::blocks_for(values, cuda::combine_across),
                   more = dx ? cuda::blocks_for(weights, cuda::combine_across * cuda::combine_down) : 0;
    cuda::launch(dev, "conv2d_combine", cuda::conv2d_combine<T>, {blocks + more},
                 {cuda::combine_across, cuda::combine_down}, sizeof(cuda::CombineShared<T>),
                 cuda::ConvCombine<T>{partial, sums, dw_parts, db_parts, D.o, CG, Sizes::taps, dw.data, db.data,
                                      dw.accumulate, db.accumulate, blocks, turning});
  } else if (dx) {
    cuda::conv_pack(dev, turning);
  }
  if constexpr (HasDx)
    if (dx)
      cuda::conv_input_gradient<D, F>(dev, scratch, dy.batch, g, argmax.data, turning.packed, dx.data, dx.accumulate);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
