// MaxPool2d: the largest value of each window, as torch.nn.MaxPool2d. The default stride is the kernel.
//   x (B, C, H, W)   ->   y (B, C, H', W')      backward reads the position of each maximum: one byte for each output
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/layers/window.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// `MaxPool2d<2>`, `MaxPool2d<3, Stride<2>, Padding<1>>`. The first argument is the extent of a square window, or a Kernel:
/// `MaxPool2d<Kernel<2, 3>>` has windows of 2 rows and 3 columns.
template <auto K, auto... Options>
struct MaxPool2d {
  static constexpr const char* name = "MaxPool2d";
  static constexpr kernels::Window window = detail::pooling_window<K, Options...>();

  static constexpr LayerSpec infer(Dims in) {
    if (!detail::are_pooling_options<K, Options...>) return detail::unknown_option<K, Options...>(in);
    if (const diagnostics::Misfit m = detail::check(window, in)) return detail::misfit(m);
    if (2 * window.ph > window.kh || 2 * window.pw > window.kw)
      return LayerSpec::no(Need::padding_at_most_half_the_window, dims(window.ph, window.pw), Remedy::less_Padding);
    if (window.kh * window.kw > 255)
      return LayerSpec::no(Need::window_of_at_most_255_positions, dims(window.kh, window.kw), Remedy::a_smaller_Kernel);
    const Dims out = dims(in[0], window.out_h(in[1]), window.out_w(in[2]));
    LayerSpec s = LayerSpec::to(out).save(static_cast<int>(kernels::ceil_div(out.count(), 4LL)));
    s.pools = true;
    s.pool = window;
    return s;
  }

  static void forward(auto& dev, const auto& at) { max_pool2d_forward(dev, pool(at), at.x, at.y, at.argmax()); }
  static void backward(auto& dev, const auto& at) {
    max_pool2d_backward(dev, pool(at), at.argmax_view(), at.as_const(at.dy), at.dx);
  }

 private:
  template <class Context>
  static constexpr auto pool(const Context&) {
    return kernels::PoolTag<kernels::PoolDims{Context::in.d[0], Context::in.d[1], Context::in.d[2], window}>{};
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
