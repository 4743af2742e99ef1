// Conv2d: y = order(max_pool(f(conv(x, w) + b))), and its gradients; f, pool and order are the epilogue's.
//   x (B, H, W, C)   w (O, C / groups, kh, kw)   b (O) or null   ->   y (B, H', W', O), or (B, O, H', W') channels-first
//   argmax (B, H', W', O), channels-last whatever the order of y: row * pool.kw + column of the maximum; null: not wanted
//   dx (B, H, W, C)   dw (O, C / groups, kh, kw)   db (O), from dy as y lies; dy is written over
// Strategy  see conv2d_plan.hpp for which, and conv2d_{direct,winograd,sparse}.hpp for each. Weights are packed once a step.
// Cost      2 B oh ow O K operations each, K = kh kw C / groups, the outputs of a group rounded up to 16; or fewer. A
//           worker's scratch holds a band of an image, 256 to 512 KiB of it, and blocks that grow with the channels (2.4 MB
//           at 512); the workspace 4 to 16 partial dw in the strategy's layout, and the weights as dx wants them.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/conv2d_backward.hpp"
#include "tenon/cpu/conv2d_forward.hpp"
#include "tenon/cpu/conv2d_plan.hpp"

namespace tenon::kernels {

/// w (O, C / groups, kh, kw) as conv2d_forward reads it; which way depends on dev's instruction set.
template <class T, ConvDims D, int O, int CG, int KH, int KW>
void conv2d_prepare(Cpu& dev, Conv<D>, In<T, O, CG, KH, KW> w, Span<T> packed) {
  pack_weights(dev, D, w.data, packed.data);
}

template <class T, ConvDims D, Fuse F, int... Y>
void conv2d_forward(Cpu& dev, Conv<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                    std::type_identity_t<Span<const T>> packed, std::type_identity_t<In<T, D.o>> b, Epilogue<F>,
                    Out<T, Batch, Y...> y, std::type_identity_t<Out<std::uint8_t, Batch, Y...>> argmax) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  conv2d_forward_images<F.act>(dev, D, F, y.batch, x.data, packed.data, b.data, 0, y.data, argmax.data);
}

/// dy is written over. dx, dw and db may each be null; so may y where there is no activation.
template <class T, ConvDims D, Fuse F, int CG, int KH, int KW, int... Y>
void conv2d_backward(Cpu& dev, Conv<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x, In<T, D.o, CG, KH, KW> w,
                     std::type_identity_t<In<T, Batch, Y...>> y,
                     std::type_identity_t<In<std::uint8_t, Batch, Y...>> argmax, Epilogue<F>, Out<T, Batch, Y...> dy,
                     std::type_identity_t<Into<T, Batch, D.h, D.w, D.c>> dx,
                     std::type_identity_t<Into<T, D.o, CG, KH, KW>> dw, std::type_identity_t<Into<T, D.o>> db,
                     Span<T> work) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  static_assert(F.act.from_output(), "tenon: an activation fused for training must give its slope from its value");
  constexpr RunTile tile = conv2d_is_sparse(D, F) ? ConvRuns(D).tile : RunTile{};
  conv2d_backward_images<F.act, tile>(dev, D, F, dy.batch, x.data, w.data, y.data, argmax.data, dy.data, dx.data,
                                      dx.add, dw.data, dw.add, db.data, db.add, work.data);
}

}  // namespace tenon::kernels
