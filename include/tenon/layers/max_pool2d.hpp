// MaxPool2d: the largest value of each window, as torch.nn.MaxPool2d. The stride is the kernel unless given.
//   x (B, C, H, W)   ->   y (B, C, H', W')      backward needs the position of each maximum: one byte an output
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/layers/window.hpp"

namespace tenon {

/// `MaxPool2d<2>`, `MaxPool2d<3, Stride<2>, Padding<1>>`, `MaxPool2d<Kernel<2, 3>>` by way of the options.
template <int K, class... Options>
struct MaxPool2d {
  static constexpr const char* name = "MaxPool2d";
  static constexpr Window window = detail::pooling<Kernel<K>, Options...>().window;

  static constexpr LayerSpec infer(Dims in) {
    if (!(detail::is_window_option<Options> && ...)) return detail::unknown_option(in);
    if (const Misfit m = detail::check(window, in)) return detail::misfit(m);
    if (2 * window.ph > window.kh || 2 * window.pw > window.kw)
      return LayerSpec::no(Need::padding_at_most_half_the_window, dims(window.ph, window.pw), Remedy::less_Padding);
    if (window.kh * window.kw > 255)
      return LayerSpec::no(Need::window_of_at_most_255_positions, dims(window.kh, window.kw), Remedy::a_smaller_Kernel);
    const Dims out = dims(in[0], window.out_h(in[1]), window.out_w(in[2]));
    LayerSpec s = LayerSpec::to(out).keep(static_cast<int>(ceil_div(out.count(), 4LL)));
    s.pools = true;
    s.pool = window;
    return s;
  }

  static void forward(auto& dev, const auto& at) { max_pool2d_forward(dev, pool(at), at.x, at.y, at.argmax()); }
  static void backward(auto& dev, const auto& at) {
    max_pool2d_backward(dev, pool(at), at.argmax_view(), at.as_const(at.dy), at.dx);
  }

 private:
  template <class At>
  static constexpr auto pool(const At&) {
    return Pool<PoolDims{At::in.d[0], At::in.d[1], At::in.d[2], window}>{};
  }
};

}  // namespace tenon
