// Activations on the device, for kernels that begin or end with one. cpu/activation.hpp is the CPU version.
//   ActivationFunction<A>::of(x)              f(x), for float and double
//   ActivationFunction<A>::derivative(x, y)   f'(x), given y = f(x). It uses only y if A.from_output(), else only x.
// A kernel is templated on types: template <class F> with F = ActivationFunction<A>, PoolTag<D> and the like. For a
// __global__ template on a value of a class, such as Activation, nvcc 13 generates code that does not compile.
// exp, tanh and erf are CUDA's functions, within 2 ulp (CUDA C++ Programming Guide, "Mathematical Functions"). Those of
// core/math.hpp compute floats in double, and most GPUs do 64 float operations in the time of one double operation.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/geometry.hpp"
#include "tenon/cuda/arch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

__device__ __forceinline__ float exp_of(float x) { return expf(x); }
__device__ __forceinline__ double exp_of(double x) { return exp(x); }
__device__ __forceinline__ float tanh_of(float x) { return tanhf(x); }
__device__ __forceinline__ double tanh_of(double x) { return tanh(x); }
__device__ __forceinline__ float erf_of(float x) { return erff(x); }
__device__ __forceinline__ double erf_of(double x) { return erf(x); }

/// 1 / (1 + e^-x). The exponential never overflows.
template <class T>
__device__ __forceinline__ T sigmoid_of(T x) {
  const T e = exp_of(x < T(0) ? x : -x);
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

template <Activation A>
struct ActivationFunction {
  static_assert(A.kind != Activation::leaky_relu || (A.num >= 0 && A.den > 0),
                "tenon: leaky_relu's negative slope num / den must be 0 or positive");  // then y has the sign of x

  static constexpr bool identity = A.kind == Activation::none;

  template <class T>
  __device__ __forceinline__ static T of(T x) {
    if constexpr (A.kind == Activation::relu) return x < T(0) ? T(0) : x;  // NaN stays NaN
    if constexpr (A.kind == Activation::leaky_relu) return x > T(0) ? x : x * static_cast<T>(negative);
    if constexpr (A.kind == Activation::sigmoid) return sigmoid_of(x);
    if constexpr (A.kind == Activation::tanh) return tanh_of(x);
    if constexpr (A.kind == Activation::gelu) return x * distribution(x);
    if constexpr (A.kind == Activation::gelu_tanh) return T(0.5) * x * (T(1) + tanh_of(inner(x)));
    if constexpr (A.kind == Activation::silu) return x * sigmoid_of(x);
    if constexpr (A.kind == Activation::none) return x;
  }

  template <class T>
  __device__ __forceinline__ static T derivative([[maybe_unused]] T x, [[maybe_unused]] T y) {
    if constexpr (A.kind == Activation::relu) return y > T(0) ? T(1) : T(0);
    if constexpr (A.kind == Activation::leaky_relu) return y > T(0) ? T(1) : static_cast<T>(negative);
    if constexpr (A.kind == Activation::sigmoid) return (T(1) - y) * y;
    if constexpr (A.kind == Activation::tanh) return T(1) - y * y;
    if constexpr (A.kind == Activation::gelu)
      return distribution(x) + x * static_cast<T>(density) * exp_of(T(-0.5) * x * x);
    if constexpr (A.kind == Activation::gelu_tanh) {
      const T t = tanh_of(inner(x));
      const T du = static_cast<T>(scale) * (T(1) + static_cast<T>(3 * cubic) * x * x);
      return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * du;
    }
    if constexpr (A.kind == Activation::silu) {
      const T s = sigmoid_of(x);
      return s * (T(1) + x * (T(1) - s));
    }
    if constexpr (A.kind == Activation::none) return T(1);
  }

 private:
  static constexpr double negative = static_cast<double>(A.num) / A.den;
  // gelu: x P(x), where P is the normal distribution function; f' = P(x) + x p(x), where p is its density
  static constexpr double sqrt_half = 0x1.6a09e667f3bcdp-1;
  static constexpr double density = 0x1.9884533d43651p-2;  // 1 / sqrt(2 pi)
  // gelu_tanh: x (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
  static constexpr double scale = 0x1.9884533d43651p-1, cubic = 0.044715;

  template <class T>
  __device__ __forceinline__ static T distribution(T x) {
    return T(0.5) * (T(1) + erf_of(x * static_cast<T>(sqrt_half)));
  }
  template <class T>
  __device__ __forceinline__ static T inner(T x) {
    return static_cast<T>(scale) * (x + static_cast<T>(cubic) * x * x * x);
  }
};

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
