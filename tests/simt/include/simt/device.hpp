// The device functions of kernels: indices, barriers, warp collectives, atomics, intrinsics, with CUDA's names.
//
// Between two barriers or collectives no other thread runs, so an atomic is an ordinary operation. Names that the C
// library also defines (__expf, rsqrtf) are macros. There is no atomicAdd of floats because its order is not fixed.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simt.hpp"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// --- barriers ---------------------------------------------------------------------------------------------------------
inline void __syncthreads(simt::Site site = simt::Site::here()) { simt::block_barrier("__syncthreads", false, site); }
inline int __syncthreads_count(int predicate, simt::Site site = simt::Site::here()) {
  return simt::block_barrier("__syncthreads_count", predicate != 0, site).yes;
}
inline int __syncthreads_or(int predicate, simt::Site site = simt::Site::here()) {
  return simt::block_barrier("__syncthreads_or", predicate != 0, site).yes > 0;
}
inline int __syncthreads_and(int predicate, simt::Site site = simt::Site::here()) {
  const simt::BarrierCount c = simt::block_barrier("__syncthreads_and", predicate != 0, site);
  return c.yes == c.all;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Site site = simt::Site::here()) {
  simt::warp_collective(
      "__syncwarp", mask, nullptr, [](void* const*, unsigned) {}, site);
}
inline void __threadfence() { SIMT_FENCE(); }
inline void __threadfence_block() {}
inline void __threadfence_system() { SIMT_FENCE(); }
inline void __nanosleep(unsigned) { simt::yield(); }
[[noreturn]] inline void __trap(simt::Site site = simt::Site::here()) {
  simt::kernel_fault(cudaErrorIllegalInstruction, "__trap()", site);
}

// --- warp collectives -------------------------------------------------------------------------------------------------
namespace simt {

/// One lane's arguments of a shuffle.
struct Shuffle {
  std::uint64_t value;
  int from;  // the lane to read
  Site site;
};
void combine_shuffle(void* const* payloads, unsigned lanes);

enum class ShuffleKind { index, up, down, exclusive_or };

template <class T>
T shuffle(const char* what, ShuffleKind kind, unsigned mask, T value, int by, int width, Site site) {
  static_assert(std::is_arithmetic_v<T> || sizeof(T) <= 8);
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    kernel_fault(cudaErrorLaunchFailure, "a shuffle's width must be a power of two up to 32", site);
  const int lane = static_cast<int>(lane_index());
  const int first = lane & ~(width - 1), last = first + width - 1;
  int from = lane;  // its own value if the source is outside the segment
  switch (kind) {
    case ShuffleKind::index: from = first + (by & (width - 1)); break;
    case ShuffleKind::up: from = lane - by >= first ? lane - by : lane; break;
    case ShuffleKind::down: from = lane + by <= last ? lane + by : lane; break;
    case ShuffleKind::exclusive_or: from = (lane ^ by) <= last ? lane ^ by : lane; break;
  }
  Shuffle payload{0, from, site};
  std::memcpy(&payload.value, &value, sizeof(T));
  warp_collective(what, mask, &payload, combine_shuffle, site);
  std::memcpy(&value, &payload.value, sizeof(T));
  return value;
}

/// One lane's argument of a vote or a reduction.
struct Vote {
  unsigned value;
};
template <class F>
unsigned vote(const char* what, unsigned mask, unsigned value, F, Site site) {
  Vote payload{value};
  warp_collective(
      what, mask, &payload,
      [](void* const* payloads, unsigned lanes) {
        unsigned result = 0;
        bool first = true;
        for (unsigned l = 0; l < 32; ++l)
          if (lanes >> l & 1u) {
            const unsigned v = static_cast<Vote*>(payloads[l])->value;
            result = F()(result, v, l, first);
            first = false;
          }
        for (unsigned l = 0; l < 32; ++l)
          if (lanes >> l & 1u) static_cast<Vote*>(payloads[l])->value = result;
      },
      site);
  return payload.value;
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, simt::Site site = simt::Site::here()) {
  return simt::shuffle("__shfl_sync", simt::ShuffleKind::index, mask, value, lane, width, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, simt::Site site = simt::Site::here()) {
  return simt::shuffle("__shfl_up_sync", simt::ShuffleKind::up, mask, value, static_cast<int>(by), width, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, simt::Site site = simt::Site::here()) {
  return simt::shuffle("__shfl_down_sync", simt::ShuffleKind::down, mask, value, static_cast<int>(by), width, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, simt::Site site = simt::Site::here()) {
  return simt::shuffle("__shfl_xor_sync", simt::ShuffleKind::exclusive_or, mask, value, by, width, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, simt::Site site = simt::Site::here()) {
  return simt::vote(
      "__ballot_sync", mask, predicate != 0, [](unsigned r, unsigned v, unsigned lane, bool) { return r | v << lane; },
      site);
}
inline int __any_sync(unsigned mask, int predicate, simt::Site site = simt::Site::here()) {
  return static_cast<int>(simt::vote(
      "__any_sync", mask, predicate != 0, [](unsigned r, unsigned v, unsigned, bool) { return r | v; }, site));
}
inline int __all_sync(unsigned mask, int predicate, simt::Site site = simt::Site::here()) {
  return static_cast<int>(simt::vote(
      "__all_sync", mask, predicate != 0,
      [](unsigned r, unsigned v, unsigned, bool first) { return first ? v : r & v; }, site));
}
/// CUDA does not define which lanes execute this together. Here these are all lanes that have not returned.
inline unsigned __activemask() { return simt::warp_lanes(); }

inline unsigned __reduce_add_sync(unsigned mask, unsigned value, simt::Site site = simt::Site::here()) {
  return simt::vote(
      "__reduce_add_sync", mask, value, [](unsigned r, unsigned v, unsigned, bool) { return r + v; }, site);
}
inline int __reduce_add_sync(unsigned mask, int value, simt::Site site = simt::Site::here()) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), site));
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, simt::Site site = simt::Site::here()) {
  return simt::vote(
      "__reduce_or_sync", mask, value, [](unsigned r, unsigned v, unsigned, bool) { return r | v; }, site);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, simt::Site site = simt::Site::here()) {
  return simt::vote(
      "__reduce_and_sync", mask, value, [](unsigned r, unsigned v, unsigned, bool first) { return first ? v : r & v; },
      site);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, simt::Site site = simt::Site::here()) {
  return simt::vote(
      "__reduce_max_sync", mask, value, [](unsigned r, unsigned v, unsigned, bool) { return r > v ? r : v; }, site);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, simt::Site site = simt::Site::here()) {
  return simt::vote(
      "__reduce_min_sync", mask, value,
      [](unsigned r, unsigned v, unsigned, bool first) { return first || v < r ? v : r; }, site);
}
inline int __reduce_max_sync(unsigned mask, int value, simt::Site site = simt::Site::here()) {
  return static_cast<int>(__reduce_max_sync(mask, static_cast<unsigned>(value) ^ 0x80000000u, site) ^ 0x80000000u);
}
inline int __reduce_min_sync(unsigned mask, int value, simt::Site site = simt::Site::here()) {
  return static_cast<int>(__reduce_min_sync(mask, static_cast<unsigned>(value) ^ 0x80000000u, site) ^ 0x80000000u);
}

// --- atomics ----------------------------------------------------------------------------------------------------------
namespace simt {
template <class T>
concept AtomicInteger = std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

template <class T, class F>
SIMT_ONE_ACCESS T atomic(T* at, F f, Site site) {
  check_aligned(at, sizeof(T), site);
  SIMT_ACCESS(at, sizeof(T), true, true);
  const T old = *at;
  *at = f(old);
  return old;
}
}  // namespace simt

template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicAdd(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  using U = std::make_unsigned_t<T>;  // wraps around, as CUDA's does
  return simt::atomic(
      at, [v](T old) { return static_cast<T>(static_cast<U>(old) + static_cast<U>(v)); }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicSub(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  using U = std::make_unsigned_t<T>;
  return simt::atomic(
      at, [v](T old) { return static_cast<T>(static_cast<U>(old) - static_cast<U>(v)); }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicOr(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [v](T old) { return static_cast<T>(old | v); }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicAnd(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [v](T old) { return static_cast<T>(old & v); }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicXor(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [v](T old) { return static_cast<T>(old ^ v); }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicMax(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [v](T old) { return old > v ? old : v; }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicMin(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [v](T old) { return old < v ? old : v; }, site);
}
template <simt::AtomicInteger T>
SIMT_THROUGH inline T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> v,
                                simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [=](T old) { return old == expected ? v : old; }, site);
}
template <class T>
  requires(simt::AtomicInteger<T> || std::is_same_v<T, float>)
SIMT_THROUGH inline T atomicExch(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [v](T) { return v; }, site);
}
SIMT_THROUGH inline unsigned atomicInc(unsigned* at, unsigned last, simt::Site site = simt::Site::here()) {
  return simt::atomic(
      at, [last](unsigned old) { return old >= last ? 0u : old + 1; }, site);
}

// --- loads and stores -------------------------------------------------------------------------------------------------
// Checks the alignment, because a compiler may split a wide access that would fail in hardware.
#define SIMT_LOAD(name)                                                       \
  template <class T>                                                          \
  SIMT_ONE_ACCESS T name(const T* at, simt::Site site = simt::Site::here()) { \
    simt::check_aligned(at, sizeof(T), site);                                 \
    SIMT_ACCESS(at, sizeof(T), false, false);                                 \
    return *at;                                                               \
  }
#define SIMT_STORE(name)                                                                              \
  template <class T>                                                                                  \
  SIMT_ONE_ACCESS void name(T* at, std::type_identity_t<T> v, simt::Site site = simt::Site::here()) { \
    simt::check_aligned(at, sizeof(T), site);                                                         \
    SIMT_ACCESS(at, sizeof(T), true, false);                                                          \
    *at = v;                                                                                          \
  }
SIMT_LOAD(__ldg)
SIMT_LOAD(__ldcg)
SIMT_LOAD(__ldca)
SIMT_LOAD(__ldcs)
SIMT_LOAD(__ldlu)
SIMT_LOAD(__ldcv)
SIMT_STORE(__stwb)
SIMT_STORE(__stcg)
SIMT_STORE(__stcs)
SIMT_STORE(__stwt)
#undef SIMT_LOAD
#undef SIMT_STORE

// --- bits -------------------------------------------------------------------------------------------------------------
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline long long __double_as_longlong(double v) { return std::bit_cast<long long>(v); }
inline double __longlong_as_double(long long v) { return std::bit_cast<double>(v); }
inline int __popc(unsigned v) { return std::popcount(v); }
inline int __popcll(unsigned long long v) { return std::popcount(v); }
inline int __ffs(int v) { return v == 0 ? 0 : std::countr_zero(static_cast<unsigned>(v)) + 1; }
inline int __ffsll(long long v) { return v == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(v)) + 1; }
inline int __clz(int v) { return std::countl_zero(static_cast<unsigned>(v)); }
inline int __clzll(long long v) { return std::countl_zero(static_cast<unsigned long long>(v)); }
inline unsigned __brev(unsigned v) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= (v >> i & 1u) << (31 - i);
  return r;
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const std::uint64_t both = static_cast<std::uint64_t>(y) << 32 | x;
  unsigned r = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned s = selector >> (4 * i);
    unsigned byte = static_cast<unsigned>(both >> (8 * (s & 7u))) & 0xffu;
    if (s & 8u) byte = byte & 0x80u ? 0xffu : 0u;
    r |= byte << (8 * i);
  }
  return r;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  by &= 31u;
  return by == 0 ? high : high << by | low >> (32 - by);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  by &= 31u;
  return by == 0 ? low : high << (32 - by) | low >> by;
}

// --- arithmetic -------------------------------------------------------------------------------------------------------
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<long long>(a) * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __mul24(int a, int b) {
  return static_cast<int>(static_cast<unsigned>((a << 8) >> 8) * static_cast<unsigned>((b << 8) >> 8));
}
inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffffu) * (b & 0xffffffu); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __frsqrt_rn(float a) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a))); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; }
inline int __float2int_rn(float a) { return static_cast<int>(std::nearbyint(a)); }
inline int __float2int_rz(float a) { return static_cast<int>(a); }
inline unsigned __float2uint_rn(float a) { return static_cast<unsigned>(std::nearbyint(a)); }
inline unsigned __float2uint_rz(float a) { return static_cast<unsigned>(a); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
inline float __ull2float_rn(unsigned long long a) { return static_cast<float>(a); }

namespace simt {
inline float reciprocal_root(float a) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a))); }
}  // namespace simt
#define rsqrtf(x) ::simt::reciprocal_root(static_cast<float>(x))
#define __expf(x) ::std::exp(static_cast<float>(x))
#define __exp10f(x) ::std::pow(10.0f, static_cast<float>(x))
#define __logf(x) ::std::log(static_cast<float>(x))
#define __log2f(x) ::std::log2(static_cast<float>(x))
#define __log10f(x) ::std::log10(static_cast<float>(x))
#define __sinf(x) ::std::sin(static_cast<float>(x))
#define __cosf(x) ::std::cos(static_cast<float>(x))
#define __tanf(x) ::std::tan(static_cast<float>(x))
#define __powf(x, y) ::std::pow(static_cast<float>(x), static_cast<float>(y))

// CUDA's global min and max. If one operand is NaN, the result is the other one, as in fminf.
inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline unsigned min(int a, unsigned b) { return min(static_cast<unsigned>(a), b); }
inline unsigned max(int a, unsigned b) { return max(static_cast<unsigned>(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, static_cast<unsigned>(b)); }
inline unsigned max(unsigned a, int b) { return max(a, static_cast<unsigned>(b)); }
inline long min(long a, long b) { return b < a ? b : a; }
inline long max(long a, long b) { return a < b ? b : a; }
inline unsigned long min(unsigned long a, unsigned long b) { return b < a ? b : a; }
inline unsigned long max(unsigned long a, unsigned long b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return b < a ? b : a; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a < b ? b : a; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
