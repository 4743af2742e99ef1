// BatchNorm: each channel to mean 0 and variance 1 over the batch (and the pixels), then scaled and shifted. In training
// it also moves the running statistics that inference uses. As torch.nn.BatchNorm1d and BatchNorm2d, whichever the
// input asks for.
//   x (B, C) or (B, C, H, W)   weight, bias, running_mean, running_var (C)   ->   y like x      backward needs x
// Source: Ioffe, Szegedy, "Batch normalization: accelerating deep network training", ICML 2015.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/batch_norm.hpp"
#include "tenon/layers/layer.hpp"

namespace tenon {

/// What is added to the variance; Epsilon<1, 100000> is 1e-5.
template <int Num, int Den>
struct Epsilon {
  static constexpr double value = double(Num) / Den;
};

/// The weight of the newest batch in the running statistics, as PyTorch counts it; Momentum<1, 10> is 0.1.
template <int Num, int Den>
struct Momentum {
  static constexpr double value = double(Num) / Den;
};

template <class E = Epsilon<1, 100000>, class M = Momentum<1, 10>>
struct BatchNorm {
  static constexpr const char* name = "BatchNorm";

  static constexpr LayerSpec infer(Dims in) {
    if (in.rank == 2)
      return LayerSpec::no(Need::three_dimensions_C_H_W, in, Remedy::see_the_documentation_of_the_layer);
    const Dims c = dims(in[0]);
    LayerSpec s = LayerSpec::to(in)
                      .param("weight", c, constant(1))
                      .param("bias", c, constant(0))
                      .state("running_mean", c, constant(0))
                      .state("running_var", c, constant(1))
                      .counter("num_batches_tracked")
                      .keep(in[0], false)
                      .keep(in[0], false)
                      .backward_reads_input();
    s.couples_batch = true;
    return s;
  }

  static constexpr Room room(Dims in, Fuse) {
    return {0, static_cast<long long>(kernels::batch_norm_workspace(in[0])), 0, 0};
  }

  template <class At>
  static void forward(auto& dev, const At& at) {
    using T = typename At::value_type;
    constexpr int C = At::in.d[0];
    if constexpr (At::training) {
      batch_norm_forward_training(dev, pixels(at, at.x), at.template param<0>(), at.template param<1>(), T(E::value),
                                  T(M::value), at.template state<0>(), at.template state<1>(),
                                  View<T, C>(at.template keep<T, 0>()), View<T, C>(at.template keep<T, 1>()),
                                  pixels(at, at.y), at.work);
    } else {
      batch_norm_forward_inference(dev, pixels(at, at.x), at.template param<0>(), at.template param<1>(), T(E::value),
                                   at.as_const(at.template state<0>()), at.as_const(at.template state<1>()),
                                   pixels(at, at.y));
    }
  }

  template <class At>
  static void backward(auto& dev, const At& at) {
    using T = typename At::value_type;
    constexpr int C = At::in.d[0];
    batch_norm_backward(dev, pixels(at, at.x), at.template param<0>(), View<const T, C>(at.template keep<T, 0>()),
                        View<const T, C>(at.template keep<T, 1>()), pixels(at, at.as_const(at.dy)), pixels(at, at.dx),
                        at.template grad<0>(), at.template grad<1>(), at.work);
  }

 private:
  // (B, H, W, C) or (B, C) as (B, S, C)
  template <class At, class T, int... D>
  static auto pixels(const At&, View<T, Batch, D...> v) {
    return View<T, Batch, (1 * ... * D) / At::in.d[0], At::in.d[0]>(v.data, v.batch);
  }
  template <class At, class T, int... D>
  static auto pixels(const At&, Into<T, Batch, D...> v) {
    return Into<T, Batch, (1 * ... * D) / At::in.d[0], At::in.d[0]>(v.data, v.batch, v.add);
  }
};

}  // namespace tenon
