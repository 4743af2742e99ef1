// LayerNorm: each row of the last dimension to mean 0 and variance 1, then scaled and shifted, as torch.nn.LayerNorm(N).
//   x (B, N) or (B, T, N)   weight, bias (N)   ->   y like x      backward needs x, and a mean and a scale for each row
// Source: Ba, Kiros, Hinton, "Layer normalization", arXiv 1607.06450, 2016.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/layer_norm.hpp"
#include "tenon/layers/batch_norm.hpp"  // Epsilon

namespace tenon {

template <class E = Epsilon<1, 100000>>
struct LayerNorm {
  static constexpr const char* name = "LayerNorm";

  static constexpr LayerSpec infer(Dims in) {
    if (in.rank == 3)
      return LayerSpec::no(Need::one_or_two_dimensions, in, Remedy::insert_GlobalAvgPool_or_Flatten_before_this_layer);
    const int N = in[in.rank - 1], R = static_cast<int>(in.count() / N);
    return LayerSpec::to(in)
        .param("weight", dims(N), constant(1))
        .param("bias", dims(N), constant(0))
        .keep(R)
        .keep(R)
        .backward_reads_input();
  }

  static constexpr Room room(Dims in, Fuse) {
    return {0, static_cast<long long>(kernels::layer_norm_workspace(in[in.rank - 1])), 0, 0};
  }

  template <class At>
  static void forward(auto& dev, const At& at) {
    using T = typename At::value_type;
    layer_norm_forward(dev, split(at, at.x), at.template param<0>(), at.template param<1>(), T(E::value),
                       split(at, at.y), stat<At>(at.template keep<T, 0>(), at.batch),
                       stat<At>(at.template keep<T, 1>(), at.batch));
  }

  template <class At>
  static void backward(auto& dev, const At& at) {
    using T = typename At::value_type;
    layer_norm_backward(dev, split(at, at.x), at.template param<0>(),
                        at.as_const(stat<At>(at.template keep<T, 0>(), at.batch)),
                        at.as_const(stat<At>(at.template keep<T, 1>(), at.batch)), split(at, at.as_const(at.dy)),
                        split(at, at.dx), at.template grad<0>(), at.template grad<1>(), at.work);
  }

 private:
  template <class At>
  static constexpr int N = At::in.d[At::in.rank - 1];
  template <class At>
  static constexpr int R = static_cast<int>(At::in.count() / N<At>);

  // (B, N) or (B, T, N) as (B, R, N)
  template <class At, class T, int... D>
  static auto split(const At&, View<T, Batch, D...> v) {
    return View<T, Batch, R<At>, N<At>>(v.data, v.batch);
  }
  template <class At, class T, int... D>
  static auto split(const At&, Into<T, Batch, D...> v) {
    return Into<T, Batch, R<At>, N<At>>(v.data, v.batch, v.add);
  }
  template <class At, class T>
  static auto stat(T* p, int batch) {
    return View<T, Batch, R<At>>(p, batch);
  }
};

}  // namespace tenon
