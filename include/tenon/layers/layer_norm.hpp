// LayerNorm: normalizes each row of the last dimension to mean 0 and variance 1, then scales and shifts it, as
// torch.nn.LayerNorm(N).
//   x (B, N) or (B, T, N)   weight, bias (N)   ->   y like x      backward needs x, and a mean and a scale for each row
// Source: Ba, Kiros, Hinton, "Layer normalization", arXiv 1607.06450, 2016.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/layer_norm.hpp"
#include "tenon/layers/options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <auto E = Epsilon<1, 100000>>
struct LayerNorm {
  static constexpr const char* name = "LayerNorm";

  static constexpr LayerSpec infer(Dims in) {
    if (!detail::is_option<detail::option_type<E>, layer_options::Epsilon>) return detail::unknown_option<E>(in);
    if (in.rank == 3)
      return LayerSpec::no(Need::one_or_two_dimensions, in, Remedy::insert_GlobalAvgPool_or_Flatten_before_this_layer);
    const int N = in[in.rank - 1], R = static_cast<int>(in.count() / N);
    return LayerSpec::to(in)
        .param("weight", dims(N), constant(1))
        .param("bias", dims(N), constant(0))
        .save(R)
        .save(R)
        .backward_reads_input();
  }

  template <class D>
  static constexpr WorkspaceSizes workspace_sizes(kernels::DeviceTag<D> device, Dims in, kernels::Epilogue) {
    return layer_norm_workspace_sizes(device, in[in.rank - 1]);
  }

  template <class Context>
  static void forward(auto& dev, const Context& at) {
    using T = typename Context::value_type;
    layer_norm_forward(dev, split(at, at.x), at.template param<0>(), at.template param<1>(), T(E.value),
                       split(at, at.y), stat<Context>(at.template saved<T, 0>(), at.batch),
                       stat<Context>(at.template saved<T, 1>(), at.batch));
  }

  template <class Context>
  static void backward(auto& dev, const Context& at) {
    using T = typename Context::value_type;
    layer_norm_backward(dev, split(at, at.x), at.template param<0>(),
                        at.as_const(stat<Context>(at.template saved<T, 0>(), at.batch)),
                        at.as_const(stat<Context>(at.template saved<T, 1>(), at.batch)), split(at, at.as_const(at.dy)),
                        split(at, at.dx), at.template grad<0>(), at.template grad<1>(), at.work);
  }

 private:
  template <class Context>
  static constexpr int N = Context::in.d[Context::in.rank - 1];
  template <class Context>
  static constexpr int R = static_cast<int>(Context::in.count() / N<Context>);

  // (B, N) or (B, T, N) as (B, R, N)
  template <class Context, class T, int... D>
  static auto split(const Context&, View<T, Batch, D...> v) {
    return View<T, Batch, R<Context>, N<Context>>(v.data, v.batch);
  }
  template <class Context, class T, int... D>
  static auto split(const Context&, Into<T, Batch, D...> v) {
    return Into<T, Batch, R<Context>, N<Context>>(v.data, v.batch, v.accumulate);
  }
  template <class Context, class T>
  static auto stat(T* p, int batch) {
    return View<T, Batch, R<Context>>(p, batch);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
