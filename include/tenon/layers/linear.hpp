// Linear: y = x W^T + b, over the last dimension.
//   x (B, I) or (B, T, I)   weight (O, I)   bias (O)   ->   y (B, O) or (B, T, O)       as torch.nn.Linear
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/linear.hpp"
#include "tenon/layers/options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// `Linear<10>`, `Linear<10, NoBias>`, `Linear<10, XavierUniform>`; options in any order.
template <int O, auto... Options>
struct Linear {
  static constexpr const char* name = "Linear";
  static constexpr bool bias = detail::has_bias<Options...>;

  static constexpr LayerSpec infer(Dims in) {
    if (!(detail::is_weight_option<detail::option_type<Options>> && ...)) return detail::unknown_option<Options...>(in);
    if (O < 1) return LayerSpec::no(Need::positive_extents, dims(O), Remedy::a_positive_number);
    if (in.rank == 3) return LayerSpec::no(Need::one_or_two_dimensions, in, Remedy::insert_Flatten_before_this_layer);
    const int I = in[in.rank - 1];
    Dims out = in;
    out.d[in.rank - 1] = O;
    const Initial start = detail::initial(Options...);
    LayerSpec s = LayerSpec::to(out).param("weight", dims(O, I), start.fans(I, O), true).backward_reads_input();
    if (bias) s = s.param("bias", dims(O), Initial{Initial::Kind::torch_default, 0, 1, I, O});
    s.absorbs_activation = true;
    return s;
  }

  template <class D>
  static constexpr WorkspaceSizes workspace_sizes(kernels::DeviceTag<D> device, Dims in, kernels::Epilogue) {
    return linear_workspace_sizes(device, in[in.rank - 1], O);
  }

  static void prepare(auto& dev, const auto& at) {
    linear_prepare(dev, at.template param<0>(), at.packed_span());  // (O, I)
  }

  static void forward(auto& dev, const auto& at) {
    linear_forward(dev, at.rows(at.x), at.template param<0>(), at.packed_view(), at.template param_or_null<1, O>(),
                   at.epilogue, at.rows(at.y));  // (B, O)
  }

  static void backward(auto& dev, const auto& at) {
    linear_backward(dev, at.rows(at.x), at.template param<0>(), at.rows(at.y), at.epilogue, at.rows(at.dy),
                    at.rows(at.dx), at.template grad<0>(), at.template grad_or_null<1, O>(), at.work);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
