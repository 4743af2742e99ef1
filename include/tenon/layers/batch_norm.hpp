// BatchNorm: normalizes each channel to mean 0 and variance 1 over the batch (and the pixels), then scales and shifts it.
// Training also updates the running statistics, which inference uses. As torch.nn.BatchNorm1d for inputs of one dimension
// and BatchNorm2d for inputs of three.
//   x (B, C) or (B, C, H, W)   weight, bias, running_mean, running_var (C)   ->   y like x      backward needs x
// Source: Ioffe, Szegedy, "Batch normalization: accelerating deep network training", ICML 2015.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/batch_norm.hpp"
#include "tenon/layers/options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <auto E = Epsilon<1, 100000>, auto M = Momentum<1, 10>>
struct BatchNorm {
  static constexpr const char* name = "BatchNorm";

  static constexpr LayerSpec infer(Dims in) {
    if (!detail::is_option<detail::option_type<E>, layer_options::Epsilon> ||
        !detail::is_option<detail::option_type<M>, layer_options::Momentum>)
      return detail::unknown_option<E, M>(in);
    if (in.rank == 2)
      return LayerSpec::no(Need::three_dimensions_C_H_W, in, Remedy::see_the_documentation_of_the_layer);
    const Dims c = dims(in[0]);
    LayerSpec s = LayerSpec::to(in)
                      .param("weight", c, constant(1))
                      .param("bias", c, constant(0))
                      .state("running_mean", c, constant(0))
                      .state("running_var", c, constant(1))
                      .counter("num_batches_tracked")
                      .save(in[0], false)
                      .save(in[0], false)
                      .backward_reads_input();
    s.couples_batch = true;
    return s;
  }

  template <class D>
  static constexpr WorkspaceSizes workspace_sizes(kernels::DeviceTag<D> device, Dims in, kernels::Epilogue) {
    return batch_norm_workspace_sizes(device, in[0]);
  }

  template <class Context>
  static void forward(auto& dev, const Context& at) {
    using T = typename Context::value_type;
    constexpr int C = Context::in.d[0];
    if constexpr (Context::training) {
      batch_norm_forward_training(dev, at.step(), pixels(at, at.x), at.template param<0>(), at.template param<1>(),
                                  T(E.value), T(M.value), at.template state<0>(), at.template state<1>(),
                                  View<T, C>(at.template saved<T, 0>()), View<T, C>(at.template saved<T, 1>()),
                                  pixels(at, at.y), at.work);
    } else {
      batch_norm_forward_inference(dev, pixels(at, at.x), at.template param<0>(), at.template param<1>(), T(E.value),
                                   at.as_const(at.template state<0>()), at.as_const(at.template state<1>()),
                                   pixels(at, at.y));
    }
  }

  template <class Context>
  static void backward(auto& dev, const Context& at) {
    using T = typename Context::value_type;
    constexpr int C = Context::in.d[0];
    batch_norm_backward(dev, pixels(at, at.x), at.template param<0>(), View<const T, C>(at.template saved<T, 0>()),
                        View<const T, C>(at.template saved<T, 1>()), pixels(at, at.as_const(at.dy)), pixels(at, at.dx),
                        at.template grad<0>(), at.template grad<1>(), at.work);
  }

 private:
  // (B, H, W, C) or (B, C) as (B, S, C)
  template <class Context, class T, int... D>
  static auto pixels(const Context&, View<T, Batch, D...> v) {
    return View<T, Batch, (1 * ... * D) / Context::in.d[0], Context::in.d[0]>(v.data, v.batch);
  }
  template <class Context, class T, int... D>
  static auto pixels(const Context&, Into<T, Batch, D...> v) {
    return Into<T, Batch, (1 * ... * D) / Context::in.d[0], Context::in.d[0]>(v.data, v.batch, v.accumulate);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
