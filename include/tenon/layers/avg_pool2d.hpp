// AvgPool2d: the mean of each window, as torch.nn.AvgPool2d. Padding counts as zeros. The default stride is the kernel.
//   x (B, C, H, W)   ->   y (B, C, H', W')
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/avg_pool2d.hpp"
#include "tenon/layers/window.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// `AvgPool2d<2>`, `AvgPool2d<3, Stride<2>, Padding<1>>`. The first argument is the extent of a square window, or a Kernel:
/// `AvgPool2d<Kernel<2, 3>>` has windows of 2 rows and 3 columns.
template <auto K, auto... Options>
struct AvgPool2d {
  static constexpr const char* name = "AvgPool2d";
  static constexpr kernels::Window window = detail::pooling_window<K, Options...>();

  static constexpr LayerSpec infer(Dims in) {
    if (!detail::are_pooling_options<K, Options...>) return detail::unknown_option<K, Options...>(in);
    if (const diagnostics::Misfit m = detail::check(window, in)) return detail::misfit(m);
    if (2 * window.ph > window.kh || 2 * window.pw > window.kw)
      return LayerSpec::no(Need::padding_at_most_half_the_window, dims(window.ph, window.pw), Remedy::less_Padding);
    return LayerSpec::to(dims(in[0], window.out_h(in[1]), window.out_w(in[2])));
  }

  static void forward(auto& dev, const auto& at) { avg_pool2d_forward(dev, pool(at), at.x, at.y); }
  static void backward(auto& dev, const auto& at) { avg_pool2d_backward(dev, pool(at), at.as_const(at.dy), at.dx); }

 private:
  template <class Context>
  static constexpr auto pool(const Context&) {
    return kernels::PoolTag<kernels::PoolDims{Context::in.d[0], Context::in.d[1], Context::in.d[2], window}>{};
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
