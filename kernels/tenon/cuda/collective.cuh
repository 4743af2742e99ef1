// Reductions over a warp or a block, in an order that depends only on their size. So the bits are reproducible.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cuda/arch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

struct Plus {
  template <class T>
  __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    return a + b;
  }
};
struct Largest {
  template <class T>
  __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    return b > a ? b : a;
  }
};

/// Reduces over each group of `Width` adjacent lanes. Every lane gets the result of its group. All 32 lanes of the warp
/// must call it. `combine` must be commutative.
template <unsigned Width = warp_size, class T, class Combine>
__device__ __forceinline__ T warp_reduce(T v, Combine combine) {
  for (unsigned by = Width / 2; by > 0; by /= 2) v = combine(v, __shfl_xor_sync(all_lanes, v, static_cast<int>(by)));
  return v;
}
template <unsigned Width = warp_size, class T>
__device__ __forceinline__ T warp_sum(T v) {
  return warp_reduce<Width>(v, Plus{});
}

/// Shared memory for a reduction over a block of `Threads` threads: one value per warp.
template <class T, unsigned Threads>
struct BlockReduce {
  static_assert(Threads % warp_size == 0 && Threads <= 1024);
  static constexpr unsigned warps = Threads / warp_size;
  T of_warp[warps];

  /// Every thread gets the result. All threads of the block must call it. A second call may follow without a barrier.
  template <class Combine>
  __device__ __forceinline__ T operator()(T v, Combine combine) {
    v = warp_reduce(v, combine);
    if (lane() == 0) of_warp[warp()] = v;
    __syncthreads();
    T r = of_warp[0];
    for (unsigned w = 1; w < warps; ++w) r = combine(r, of_warp[w]);
    __syncthreads();
    return r;
  }
  __device__ __forceinline__ T sum(T v) { return (*this)(v, Plus{}); }
};

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
