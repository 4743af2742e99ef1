// GPU features that C++ cannot express, one function each: shared memory, wide loads, asynchronous copies, tensor cores.
// All inline assembly is in this file, next to the calls that emulate it (tests/simt).
//
// Fragments of a warp, with g = lane / 4 and t = lane % 4 (PTX ISA, "matrix fragments for mma"):
//   m16n8k8 tf32    a[i]   row g + 8 (i % 2), k = t + 4 (i / 2)             b[i]   k = t + 4 i, column g
//   m16n8k16 bf16   a[i]   row g + 8 (i % 2), k = 2 t + 8 (i / 2), k + 1    b[i]   k = 2 t + 8 i, k + 1, column g
//   both            c[i], d[i]   row g + 8 (i / 2), column 2 t + i % 2
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

#ifndef TENON_SIMT
#define TENON_SIMT 0
#endif

namespace tenon::kernels::cuda {

inline constexpr unsigned warp_size = 32;
inline constexpr unsigned all_lanes = 0xffffffffu;

/// The struct in the block's shared memory. The kernel is launched with sizeof(S) bytes. The smallest limit per block on
/// any GPU from sm_80 on is 99 KiB (sm_86, sm_89).
template <class S>
__device__ __forceinline__ S& shared_memory() {
  static_assert(sizeof(S) <= 99 * 1024, "tenon::shared_memory: more than a block may have on sm_86 and sm_89");
#if TENON_SIMT
  return simt::shared<S>();
#else
  extern __shared__ __align__(128) unsigned char tenon_shared_bytes[];
  return *reinterpret_cast<S*>(tenon_shared_bytes);
#endif
}

/// Index of the thread in a one-dimensional grid.
__device__ __forceinline__ std::size_t global_thread() {
  return static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ unsigned lane() { return threadIdx.x % warp_size; }
__device__ __forceinline__ unsigned warp() { return threadIdx.x / warp_size; }

// --- 16-byte accesses: `at` is aligned to 16 bytes ---------------------------------------------------------------------

/// 16 bytes of T.
template <class T>
struct alignas(16) Wide {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};

template <class T>
__device__ __forceinline__ Wide<T> load_wide(const T* at) {
#if TENON_SIMT
  const int4 bits = __ldca(reinterpret_cast<const int4*>(at));
#else
  const int4 bits = *reinterpret_cast<const int4*>(at);
#endif
  Wide<T> w;
  memcpy(&w, &bits, 16);
  return w;
}
template <class T>
__device__ __forceinline__ void store_wide(T* at, const Wide<T>& w) {
  int4 bits;
  memcpy(&bits, &w, 16);
#if TENON_SIMT
  __stwb(reinterpret_cast<int4*>(at), bits);
#else
  *reinterpret_cast<int4*>(at) = bits;
#endif
}

/// Loads V adjacent values: with one 16-byte access if AtOnce and V > 1 (`at` is then aligned), else one by one.
template <bool AtOnce, int V, class T>
__device__ __forceinline__ void load_values(const T* at, T (&v)[V]) {
  if constexpr (AtOnce && V > 1) {
    static_assert(V == Wide<T>::size);
    const Wide<T> w = load_wide(at);
    for (int k = 0; k < V; ++k) v[k] = w.v[k];
  } else {
    for (int k = 0; k < V; ++k) v[k] = at[k];
  }
}
template <bool AtOnce, int V, class T>
__device__ __forceinline__ void store_values(T* at, const T (&v)[V]) {
  if constexpr (AtOnce && V > 1) {
    static_assert(V == Wide<T>::size);
    Wide<T> w;
    for (int k = 0; k < V; ++k) w.v[k] = v[k];
    store_wide(at, w);
  } else {
    for (int k = 0; k < V; ++k) at[k] = v[k];
  }
}

/// Whether 16-byte accesses at p are allowed.
template <class T>
TENON_HD bool is_wide_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

// --- asynchronous copies from global to shared memory ------------------------------------------------------------------

/// Copies 16 bytes. The last 16 - `bytes` of them are not read and become zeros. Both addresses are aligned to 16 bytes.
__device__ __forceinline__ void copy_async16(void* shared, const void* global, int bytes = 16) {
#if TENON_SIMT
  simt::cp_async16(shared, global, bytes);
#else
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#endif
}
/// The same for 4 bytes.
__device__ __forceinline__ void copy_async4(void* shared, const void* global, int bytes = 4) {
#if TENON_SIMT
  simt::cp_async4(shared, global, bytes);
#else
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#endif
}
/// Closes the group of copies that this thread has started.
__device__ __forceinline__ void copy_async_commit() {
#if TENON_SIMT
  simt::cp_async_commit();
#else
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
/// Waits for all groups of this thread except the last `Left`. A barrier must follow before copies of other threads are
/// read.
template <int Left>
__device__ __forceinline__ void copy_async_wait() {
#if TENON_SIMT
  simt::cp_async_wait_group(Left);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(Left) : "memory");
#endif
}

// --- tensor cores: all 32 lanes of a warp must call these --------------------------------------------------------------

/// Rounds to 10 bits of mantissa, ties away from zero.
__device__ __forceinline__ std::uint32_t to_tf32(float v) {
#if TENON_SIMT
  return simt::to_tf32(v);
#else
  std::uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(r) : "f"(v));
  return r;
#endif
}

/// Rounds two floats to bf16, ties to even. `low` is in the lower half.
__device__ __forceinline__ std::uint32_t to_bf16x2(float low, float high) {
#if TENON_SIMT
  const auto one = [](float v) {
    std::uint32_t b;
    memcpy(&b, &v, 4);
    if ((b & 0x7fffffffu) > 0x7f800000u) return (b >> 16) | 0x40u;  // NaN stays NaN
    return (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
  };
  return one(low) | one(high) << 16;
#else
  std::uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(r) : "f"(high), "f"(low));
  return r;
#endif
}

/// c (16, 8) += a (16, 8) b (8, 8). a and b come from to_tf32.
__device__ __forceinline__ void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#if TENON_SIMT
  simt::mma_m16n8k8_tf32(c, a, b, c);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// c (16, 8) += a (16, 16) b (16, 8). a and b are pairs from to_bf16x2.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#if TENON_SIMT
  simt::mma_m16n8k16_bf16(c, a, b, c);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
