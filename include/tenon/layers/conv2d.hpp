// Conv2d: a sliding dot product (cross-correlation), as torch.nn.Conv2d.
//   x (B, C, H, W)   weight (O, C / groups, kh, kw)   bias (O)   ->   y (B, O, H', W')
// The plan fuses an activation, a max-pool and a Flatten after it into its kernel where possible.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/conv2d.hpp"
#include "tenon/layers/window.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// `Conv2d<32, Kernel<3>, Stride<2>, Padding<1>, Dilation<1>, Groups<1>, NoBias, KaimingNormal>`; options in any order.
template <int O, auto... Options>
struct Conv2d {
  static constexpr const char* name = "Conv2d";
  static constexpr bool bias = detail::has_bias<Options...>;
  static constexpr detail::Sliding option = detail::sliding(Options...);

  static constexpr kernels::ConvDims geometry(Dims in) {
    return {in[0], in[1], in[2], O, option.groups, option.window};
  }

  static constexpr LayerSpec infer(Dims in) {
    if (!((detail::is_window_option<detail::option_type<Options>> || detail::is_groups<detail::option_type<Options>> ||
           detail::is_weight_option<detail::option_type<Options>>)&&...))
      return detail::unknown_option<Options...>(in);
    if (const diagnostics::Misfit m = detail::check(option.window, in)) return detail::misfit(m);
    if (O < 1) return LayerSpec::no(Need::positive_extents, dims(O), Remedy::a_positive_number);
    const int G = option.groups;
    if (G < 1 || in[0] % G)
      return LayerSpec::no(Need::channels_divisible_by_groups, dims(in[0], G),
                           Remedy::a_number_of_Groups_that_divides_both);
    if (O % G)
      return LayerSpec::no(Need::outputs_divisible_by_groups, dims(O, G), Remedy::a_number_of_Groups_that_divides_both);
    const kernels::Window w = option.window;
    const int taps = w.kh * w.kw, fan_in = in[0] / G * taps, fan_out = O / G * taps;
    const Initial start = detail::initial(Options...);
    LayerSpec s = LayerSpec::to(dims(O, w.out_h(in[1]), w.out_w(in[2])))
                      .param("weight", dims(O, in[0] / G, w.kh, w.kw), start.fans(fan_in, fan_out), true)
                      .backward_reads_input();
    if (bias) s = s.param("bias", dims(O), Initial{Initial::Kind::torch_default, 0, 1, fan_in, fan_out});
    s.absorbs_activation = s.absorbs_pool = s.absorbs_order = true;
    return s;
  }

  template <class D>
  static constexpr WorkspaceSizes workspace_sizes(kernels::DeviceTag<D> device, Dims in, kernels::Epilogue epilogue) {
    return conv2d_workspace_sizes(device, geometry(in), epilogue);
  }

  static void prepare(auto& dev, const auto& at) {
    conv2d_prepare(dev, conv(at), at.template param<0>(), at.packed_span());
  }

  static void forward(auto& dev, const auto& at) {
    conv2d_forward(dev, conv(at), at.x, at.packed_view(), at.template param_or_null<1, O>(), at.epilogue, at.y,
                   at.argmax());
  }

  static void backward(auto& dev, const auto& at) {
    using Context = std::remove_cvref_t<decltype(at)>;
    constexpr kernels::ConvTag<geometry(Context::in), Context::has_dx> conv{};
    conv2d_backward(dev, conv, at.x, at.template param<0>(), at.y, at.argmax_view(), at.epilogue, at.dy, at.dx,
                    at.template grad<0>(), at.template grad_or_null<1, O>(), at.work);
  }

 private:
  template <class Context>
  static constexpr auto conv(const Context&) {
    return kernels::ConvTag<geometry(Context::in)>{};
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
