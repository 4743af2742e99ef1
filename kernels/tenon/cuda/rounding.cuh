// Arithmetic with fixed rounding: the compiler does not contract it, and --use_fast_math does not make it less accurate. If
// the CPU's vector code computes the same, the bits are the same.
//   fma_of(a, b, c)   a b + c, rounded once      mul_add(a, b, c)   the same, rounded twice
//   quotient(a, b)    a / b                      root_of(a)         the square root
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cuda/arch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

__device__ __forceinline__ float fma_of(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double fma_of(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ __forceinline__ float mul_add(float a, float b, float c) { return __fadd_rn(__fmul_rn(a, b), c); }
__device__ __forceinline__ double mul_add(double a, double b, double c) { return __dadd_rn(__dmul_rn(a, b), c); }
__device__ __forceinline__ float quotient(float a, float b) { return __fdiv_rn(a, b); }
__device__ __forceinline__ double quotient(double a, double b) { return a / b; }
__device__ __forceinline__ float root_of(float a) { return __fsqrt_rn(a); }
__device__ __forceinline__ double root_of(double a) { return sqrt(a); }

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
