// Conv2d: y = order(max_pool(f(conv(x, w) + b))), and its gradients. f, max_pool and order are the epilogue.
//   x (B, H, W, C)   w (O, C / groups, kh, kw)   b (O) or null   ->   y (B, H', W', O), or (B, O, H', W') channels-first
//   argmax (B, H', W', O): row * pool.kw + column of the maximum in its window; always channels-last; may be null
//   dx (B, H, W, C)   dw (O, C / groups, kh, kw)   db (O), from dy in the order of y; dy is overwritten
// Strategy  conv2d_plan.hpp chooses a strategy; conv2d_{direct,winograd,sparse}.hpp describe them. Weights are packed once
//           per step.
// Cost      forward and each gradient: 2 B oh ow O K operations, K = kh kw C / groups, the outputs of a group rounded up to
//           16; Winograd and sparse need fewer. A worker's scratch holds a band of an image (256 to 512 KiB) and blocks
//           that grow with the channels (2.4 MB at 512). The workspace holds 4 to 16 partial dw in the layout of the
//           strategy, and the weights repacked for dx.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "tenon/common/conv2d.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/conv2d_backward.hpp"
#include "tenon/cpu/conv2d_forward.hpp"
#include "tenon/cpu/conv2d_plan.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Packs w (O, C / groups, kh, kw) for conv2d_forward. The layout depends on the instruction set of dev.
template <class T, ConvDims D, int O, int CG, int KH, int KW>
void conv2d_prepare(Cpu& dev, ConvTag<D>, In<T, O, CG, KH, KW> w, Span<T> packed) {
  pack_weights<conv2d_fits_winograd(D)>(dev, D, w.data, packed.data);
}

template <class T, ConvDims D, Epilogue F, int... Y>
void conv2d_forward(Cpu& dev, ConvTag<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                    std::type_identity_t<Span<const T>> packed, std::type_identity_t<In<T, D.o>> b, EpilogueTag<F>,
                    Out<T, Batch, Y...> y, std::type_identity_t<Out<std::uint8_t, Batch, Y...>> argmax) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  conv2d_forward_images<F.activation, ForwardPaths(D, F)>(dev, D, F, y.batch, x.data, packed.data, b.data, 0, y.data,
                                                          argmax.data);
}

/// Overwrites dy. Each of dx, dw and db may be null; dx is null if HasDx is false. y may be null if there is no activation.
template <class T, ConvDims D, bool HasDx, Epilogue F, int CG, int KH, int KW, int... Y>
void conv2d_backward(Cpu& dev, ConvTag<D, HasDx>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                     In<T, D.o, CG, KH, KW> w, std::type_identity_t<In<T, Batch, Y...>> y,
                     std::type_identity_t<In<std::uint8_t, Batch, Y...>> argmax, EpilogueTag<F>, Out<T, Batch, Y...> dy,
                     std::type_identity_t<Into<T, Batch, D.h, D.w, D.c>> dx,
                     std::type_identity_t<Into<T, D.o, CG, KH, KW>> dw, std::type_identity_t<Into<T, D.o>> db,
                     Span<T> work) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  static_assert(F.activation.from_output(),
                "tenon: an activation fused for training must give its slope from its value");
  conv2d_backward_images<F.activation, BackwardPaths(D, F, HasDx)>(
      dev, D, F, dy.batch, x.data, w.data, y.data, argmax.data, dy.data, dx.data, dx.accumulate, dw.data, dw.accumulate,
      db.data, db.accumulate, work.data);
}

/// The maximum over the instruction sets.
constexpr WorkspaceSizes conv2d_workspace_sizes(DeviceTag<Cpu>, const ConvDims& d, const Epilogue& f) {
  return {static_cast<long long>(conv2d_packed(d)), static_cast<long long>(conv2d_workspace(d, f)),
          static_cast<long long>(conv2d_scratch<float>(d, f)), static_cast<long long>(conv2d_scratch<double>(d, f))};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
