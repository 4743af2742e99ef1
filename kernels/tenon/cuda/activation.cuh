// Activations: y = f(x) elementwise. activation_function.cuh has f and f' for use in other kernels.
//   activation_forward    x (B, ...) -> y (B, ...)                 y may be x
//   activation_backward   x or y, dy (B, ...) -> dx (B, ...)       dx may be dy
// Strategy  a thread loads and stores 16 bytes at a time if every pointer is aligned, else one value.
// Cost      8 bytes per element forward, 12 or 16 backward, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/geometry.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/activation_function.cuh"
#include "tenon/cuda/elementwise.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

template <class T, class F>
struct ActivationForward {
  const T* x;
  T* y;
  __device__ void wide(std::size_t i) const {
    Wide<T> w = load_wide(x + i);
    for (int k = 0; k < Wide<T>::size; ++k) w.v[k] = F::of(w.v[k]);
    store_wide(y + i, w);
  }
  __device__ void one(std::size_t i) const { y[i] = F::of(x[i]); }
};

/// dx = dy f'. `kept` is y if FromOutput, else x.
template <class T, class F, bool FromOutput>
struct ActivationBackward {
  const T *kept, *dy;
  T* dx;
  bool accumulate;
  __device__ void wide(std::size_t i) const {
    const Wide<T> u = load_wide(kept + i), g = load_wide(dy + i);
    Wide<T> w;
    for (int k = 0; k < Wide<T>::size; ++k) w.v[k] = g.v[k] * derivative(u.v[k]);
    if (accumulate) {
      const Wide<T> old = load_wide(dx + i);
      for (int k = 0; k < Wide<T>::size; ++k) w.v[k] += old.v[k];
    }
    store_wide(dx + i, w);
  }
  __device__ void one(std::size_t i) const {
    const T d = dy[i] * derivative(kept[i]);
    dx[i] = accumulate ? dx[i] + d : d;
  }

 private:
  __device__ static T derivative(T v) { return FromOutput ? F::derivative(T(0), v) : F::derivative(v, T(0)); }
};

}  // namespace cuda

/// y = f(x)
template <class T, int... D, Activation A>
void activation_forward(Cuda& dev, std::integral_constant<Activation, A>, std::type_identity_t<In<T, D...>> x,
                        Out<T, D...> y) {
  cuda::for_each_wide<T>(dev, "activation_forward", y.size(),
                         cuda::ActivationForward<T, cuda::ActivationFunction<A>>{x.data, y.data}, x.data, y.data);
}

/// dx = dy f'(x). x may be null if A.from_output(), else y may be null.
template <class T, int... D, Activation A>
void activation_backward(Cuda& dev, std::integral_constant<Activation, A>, std::type_identity_t<In<T, D...>> x,
                         std::type_identity_t<In<T, D...>> y, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  if (!dx) return;
  const T* const kept = A.from_output() ? y.data : x.data;
  cuda::for_each_wide<T>(
      dev, "activation_backward", dx.size(),
      cuda::ActivationBackward<T, cuda::ActivationFunction<A>, A.from_output()>{kept, dy.data, dx.data, dx.accumulate},
      kept, dy.data, dx.data);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
