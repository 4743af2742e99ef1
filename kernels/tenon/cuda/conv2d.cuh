// Conv2d: y = order(max_pool(f(conv(x, w) + b))), and its gradients; f, pool and order are the epilogue's.
//   x (B, H, W, C)   w (O, C / groups, kh, kw)   b (O) or null   ->   y (B, H', W', O), or (B, O, H', W') channels-first
//   argmax (B, H', W', O), channels-last whatever the order of y: row * pool.kw + column of the maximum; null: not wanted
//   dx (B, H, W, C)   dw (O, C / groups, kh, kw)   db (O), from dy as y lies; dy is written over
// Strategy  products of matrices that are fetched by address: conv2d_forward.cuh and conv2d_backward.cuh. Weights are packed
//           once a step to (O, kh, kw, C / groups).
// Cost      2 B oh ow O K operations each, K = kh kw C / groups. Scratch of backward: the weights turned, up to 4 MiB of
//           partial sums, dy once more where y is channels-first.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/conv2d_plan.hpp"  // conv2d_packed: how much memory the plan has for the packed weights
#include "tenon/cuda/conv2d_backward.cuh"
#include "tenon/cuda/conv2d_forward.cuh"

namespace tenon::kernels {

namespace cuda {

/// Sizes of D and its epilogue F that kernels want as constants.
template <ConvDims D, Fuse F>
struct ConvOf {
  static constexpr Window window = D.window, pool = F.pooled ? F.pool : Window{};
  static constexpr int cg = D.c / D.groups, og = D.o / D.groups, taps = window.kh * window.kw, depth = cg * taps;
  static constexpr int oh = D.oh(), ow = D.ow(), y_h = pool.out_h(oh), y_w = pool.out_w(ow);
  static constexpr bool pools_in_tile = pool.kh * pool.kw <= 64;
  using Source = std::conditional_t<F.pooled, PooledGradient<pool.kh, pool.kw>, DenseGradient>;
};

struct TurnedWeights {
  static constexpr bool value = true;
};
struct PlainWeights {
  static constexpr bool value = false;
};

template <class Turned, class T>
void conv_pack(const Cuda& dev, const ConvDims& d, const T* w, T* packed) {
  const int cg = d.c / d.groups, og = d.o / d.groups, taps = d.window.kh * d.window.kw;
  launch(dev, "conv2d_pack", conv2d_pack<T, Turned>,
         {blocks_for(static_cast<std::size_t>(d.o) * static_cast<std::size_t>(cg * taps), 256)}, {256}, 0, w, d.o, og,
         cg, taps, packed);
}

}  // namespace cuda

/// w (O, C / groups, kh, kw) as conv2d_forward reads it.
template <class T, ConvDims D, int O, int CG, int KH, int KW>
void conv2d_prepare(Cuda& dev, Conv<D>, In<T, O, CG, KH, KW> w, Span<T> packed) {
  static_assert(conv2d_packed(D) >= std::size_t{O} * CG * KH * KW, "tenon: the plan has too little room for weights");
  cuda::conv_pack<cuda::PlainWeights>(dev, D, w.data, packed.data);
}

template <class T, ConvDims D, Fuse F, int... Y>
void conv2d_forward(Cuda& dev, Conv<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                    std::type_identity_t<Span<const T>> packed, std::type_identity_t<In<T, D.o>> b, Epilogue<F>,
                    Out<T, Batch, Y...> y, std::type_identity_t<Out<std::uint8_t, Batch, Y...>> argmax) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  using Sizes = cuda::ConvOf<D, F>;
  constexpr Window w = D.window, pool = Sizes::pools_in_tile ? Sizes::pool : Window{};
  constexpr int h = Sizes::pools_in_tile ? Sizes::y_h : Sizes::oh, wide = Sizes::pools_in_tile ? Sizes::y_w : Sizes::ow;
  cuda::Scratch scratch(dev);
  cuda::ConvProblem<T> p{};
  p.x = x.data, p.w = packed.data, p.bias = b.data;
  p.y = y.data, p.argmax = argmax.data, p.channels_first = F.channels_first;
  if (!Sizes::pools_in_tile) {
    p.y = scratch.take<T>(static_cast<std::size_t>(y.batch) * (std::size_t{Sizes::oh} * Sizes::ow * D.o));
    p.argmax = nullptr, p.channels_first = false;
  }
  p.batch = y.batch, p.groups = D.groups;
  p.h = p.limit_h = D.h, p.wide = p.limit_w = D.w, p.c = D.c, p.cg = Sizes::cg;
  p.o = D.o, p.og = Sizes::og, p.out_h = h, p.out_w = wide, p.pool_h = pool.kh, p.pool_w = pool.kw;
  p.taps = Sizes::taps, p.taps_across = w.kw, p.classes = 1, p.window = w;
  p.down = cuda::forward_axis(h, pool.kh, w.kh, w.sh, w.ph, w.dh);
  p.across = cuda::forward_axis(wide, pool.kw, w.kw, w.sw, w.pw, w.dw);
  cuda::run_rows<Sizes::cg, Sizes::og, Sizes::taps, cuda::DenseGradient, cuda::Activate<F.act>>(dev, "conv2d_forward",
                                                                                                p, h * wide);
  if (!Sizes::pools_in_tile)
    cuda::launch(dev, "conv2d_pool", cuda::conv2d_pool<T>, {cuda::blocks_for(y.size(), 256)}, {256}, 0, p.y, y.batch,
                 Sizes::oh, Sizes::ow, D.o, F.pool, F.channels_first, y.data, argmax.data);
}

/// dy is written over. dx, dw and db may each be null; so may y where there is no activation.
template <class T, ConvDims D, Fuse F, int CG, int KH, int KW, int... Y>
void conv2d_backward(Cuda& dev, Conv<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x, In<T, D.o, CG, KH, KW> w,
                     std::type_identity_t<In<T, Batch, Y...>> y,
                     std::type_identity_t<In<std::uint8_t, Batch, Y...>> argmax, Epilogue<F>, Out<T, Batch, Y...> dy,
                     std::type_identity_t<Into<T, Batch, D.h, D.w, D.c>> dx,
                     std::type_identity_t<Into<T, D.o, CG, KH, KW>> dw, std::type_identity_t<Into<T, D.o>> db,
                     Span<T>) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  static_assert(F.act.from_output(), "tenon: an activation fused for training must give its slope from its value");
  using Sizes = cuda::ConvOf<D, F>;
  using Source = typename Sizes::Source;
  constexpr Window win = D.window;
  cuda::Scratch scratch(dev);
  const std::size_t image = static_cast<std::size_t>(Sizes::y_h) * Sizes::y_w * D.o;

  // dy through the activation and in the order of the convolution's result, but still pooled
  T* const sums = db ? scratch.take<T>(static_cast<std::size_t>(cuda::conv_blocks) * D.o) : nullptr;
  T* const g = F.channels_first ? scratch.take<T>(static_cast<std::size_t>(dy.batch) * image) : dy.data;
  int db_parts = 0;
  if (F.channels_first || F.act.kind != Activation::none || db) {
    db_parts = cuda::run_slope<cuda::Activate<F.act>, F.channels_first, T>(
        dev, {dy.data, y.data, g, sums, dy.batch, Sizes::y_h * Sizes::y_w, D.o, 0, 0});
    if (!db) db_parts = 0;
  }

  int dw_parts = 0;
  T* partial = nullptr;
  if (dw) {
    constexpr int tiles =
        (Sizes::depth + 63) / 64 * D.groups *
        ((Sizes::og + cuda::conv_gradient_columns<Sizes::og> - 1) / cuda::conv_gradient_columns<Sizes::og>);
    constexpr int most = (cuda::conv_blocks + tiles - 1) / tiles;
    const cuda::ConvParts parts = cuda::conv_parts(
        static_cast<std::size_t>(dy.batch) * (std::size_t{Sizes::oh} * Sizes::ow), most, cuda::conv_part_least);
    dw_parts = parts.count;
    partial = scratch.take<T>(std::size_t{most} * Sizes::depth * D.o);
    const cuda::ConvGradient<T> p{x.data, g,         argmax.data,  partial,   dy.batch,  D.groups,   D.h,
                                  D.w,    D.c,       CG,           Sizes::oh, Sizes::ow, Sizes::y_h, Sizes::y_w,
                                  D.o,    Sizes::og, Sizes::depth, win,       parts.each};
    cuda::run_columns<CG, Sizes::og, Sizes::taps, Source>(dev, p, dw_parts);
  }
  if (dw || db) {
    const std::size_t weights = static_cast<std::size_t>(Sizes::depth) * D.o,
                      values = (dw ? weights : 0) + (db ? static_cast<std::size_t>(D.o) : 0);
    cuda::launch(dev, "conv2d_combine", cuda::conv2d_combine<T>, {cuda::blocks_for(values, cuda::combine_across)},
                 {cuda::combine_across, cuda::combine_down}, sizeof(cuda::CombineShared<T>),
                 cuda::ConvCombine<T>{partial, sums, dw_parts, db_parts, D.o, CG, Sizes::taps, dw.data, db.data, dw.add,
                                      db.add});
  }

  if (dx) {
    T* const turned = scratch.take<T>(std::size_t{Sizes::depth} * D.o);
    cuda::conv_pack<cuda::TurnedWeights>(dev, D, w.data, turned);
    cuda::ConvProblem<T> p{};
    p.x = g, p.w = turned, p.places = argmax.data;
    p.y = dx.data, p.add = dx.add;
    p.batch = dy.batch, p.groups = D.groups;
    p.h = Sizes::y_h, p.wide = Sizes::y_w, p.limit_h = Sizes::oh, p.limit_w = Sizes::ow, p.c = D.o, p.cg = Sizes::og;
    p.o = D.c, p.og = CG, p.out_h = D.h, p.out_w = D.w, p.pool_h = p.pool_w = 1;
    p.taps = Sizes::taps, p.taps_across = win.kw, p.window = win;
    p.classes = win.sh * win.sw, p.size_h = D.h, p.size_w = D.w;
    p.down = cuda::gradient_axis(0, D.h, win.kh, win.sh, win.ph, win.dh);
    p.across = cuda::gradient_axis(0, D.w, win.kw, win.sw, win.pw, win.dw);
    constexpr int most = ((D.h + win.sh - 1) / win.sh) * ((D.w + win.sw - 1) / win.sw);
    cuda::run_rows<Sizes::og, CG, Sizes::taps, Source, cuda::Activate<Act{}>>(dev, "conv2d_input_gradient", p, most);
  }
}

}  // namespace tenon::kernels
