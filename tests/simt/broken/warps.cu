// Wrong uses of warp collectives that the stand-in must catch.
// SPDX-License-Identifier: MIT
#include "simt/support.hpp"

namespace {

template <class T>
__global__ void outside(T* out) {
  out[threadIdx.x] = __shfl_sync(0x0000ffffu, T(threadIdx.x), 3);
}
template <class T>
__global__ void reads_outside(T* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, T(threadIdx.x), 20);
}
template <class T>
__global__ void reads_returned(T* out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, T(threadIdx.x), 1);
}
template <class T>
__global__ void odd_width(T* out) {
  out[threadIdx.x] = __shfl_down_sync(0xffffffffu, T(threadIdx.x), 1, 12);
}
template <class T>
__global__ void two_calls(T* out) {
  if (threadIdx.x % 2)
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, T(threadIdx.x), 1);
  else
    out[threadIdx.x] = T(__ballot_sync(0xffffffffu, 1));
}
template <class T>
__global__ void two_masks(T* out) {
  out[threadIdx.x] = T(__ballot_sync(threadIdx.x < 16 ? 0xffffffffu : 0xffff0000u, 1));
  __syncthreads();
}
template <class T>
__global__ void half_a_product(T* out) {
  float d[4] = {}, c[4] = {};
  std::uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x >= 16) return;
  simt::mma_m16n8k8_tf32(d, a, b, c);
  out[threadIdx.x] = T(d[0]);
}

}  // namespace

TEST_CASE("lanes and masks that do not fit are caught") {
  Device<int> out(32);
  const auto of = [&](auto kernel, unsigned threads = 32) {
    return failure_of([&] { run(kernel, 1, threads, 0, out.data); });
  };
  CHECK_THAT(of(outside<int>), ContainsSubstring("lane 16 calls with mask 0000ffff, which does not name it"));
  CHECK_THAT(of(reads_outside<int>), ContainsSubstring("reads lane 20, which is not in the mask") ||
                                         ContainsSubstring("reads lane 20, which has returned"));
  CHECK_THAT(of(reads_returned<int>), ContainsSubstring("lane 4 reads lane 5, which has returned"));
  CHECK_THAT(of(odd_width<int>), ContainsSubstring("a shuffle's width must be a power of two"));
  CHECK_THAT(of(two_calls<int>), ContainsSubstring("the lanes of a warp are in different calls"));
  CHECK_THAT(of(two_masks<int>),
             ContainsSubstring("threads 0-15 of block (0, 0, 0) wait in __ballot_sync at warps.cu:"));
  CHECK_THAT(of(half_a_product<int>), ContainsSubstring("expected all 32 lanes of the warp"));
  CHECK_THAT(of(half_a_product<int>, 16), ContainsSubstring("expected all 32 lanes of the warp"));
}
