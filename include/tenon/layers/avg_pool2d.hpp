// AvgPool2d: the mean of each window, padding counted as zeros, as torch.nn.AvgPool2d. The stride is the kernel unless given.
//   x (B, C, H, W)   ->   y (B, C, H', W')
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/avg_pool2d.hpp"
#include "tenon/layers/window.hpp"

namespace tenon {

template <int K, class... Options>
struct AvgPool2d {
  static constexpr const char* name = "AvgPool2d";
  static constexpr Window window = detail::pooling<Kernel<K>, Options...>().window;

  static constexpr LayerSpec infer(Dims in) {
    if (!(detail::is_window_option<Options> && ...)) return detail::unknown_option(in);
    if (const Misfit m = detail::check(window, in)) return detail::misfit(m);
    if (2 * window.ph > window.kh || 2 * window.pw > window.kw)
      return LayerSpec::no(Need::padding_at_most_half_the_window, dims(window.ph, window.pw), Remedy::less_Padding);
    return LayerSpec::to(dims(in[0], window.out_h(in[1]), window.out_w(in[2])));
  }

  static void forward(auto& dev, const auto& at) { avg_pool2d_forward(dev, pool(at), at.x, at.y); }
  static void backward(auto& dev, const auto& at) { avg_pool2d_backward(dev, pool(at), at.as_const(at.dy), at.dx); }

 private:
  template <class At>
  static constexpr auto pool(const At&) {
    return Pool<PoolDims{At::in.d[0], At::in.d[1], At::in.d[2], window}>{};
  }
};

}  // namespace tenon
