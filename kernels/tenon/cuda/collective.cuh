// Sums that a warp or a block makes together, in an order that depends on their size alone: the same bits every time.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cuda/arch.cuh"

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

/// The same result in each of `Width` neighbouring lanes; all 32 lanes of the warp call it. `combine` commutes.
template <unsigned Width = warp_size, class T, class Combine>
__device__ __forceinline__ T warp_reduce(T v, Combine combine) {
  for (unsigned by = Width / 2; by > 0; by /= 2) v = combine(v, __shfl_xor_sync(all_lanes, v, static_cast<int>(by)));
  return v;
}
template <unsigned Width = warp_size, class T>
__device__ __forceinline__ T warp_sum(T v) {
  return warp_reduce<Width>(v, Plus{});
}

/// What a block of `Threads` threads needs to reduce: one value a warp.
template <class T, unsigned Threads>
struct BlockReduce {
  static_assert(Threads % warp_size == 0 && Threads <= 1024);
  static constexpr unsigned warps = Threads / warp_size;
  T of_warp[warps];

  /// The same result in every thread. All threads of the block call it; a second call may follow at once.
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
