// Helpers of the AVX2 kernels: masks for tails and sums in a fixed order.
// Every function has its own target attribute, so a unit built with plain -O2 can contain it.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"
#include "tenon/core/device.hpp"

#if TENON_X86
#include <immintrin.h>
#endif

#include <type_traits>

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

#if TENON_X86 && defined(__clang__)
// clang's header defines these as inline functions that keep the flags of the unit: with -ffast-math the compiler would
// reorder the arithmetic of the kernels and use estimates for square roots. In this namespace, name lookup finds the
// following functions first, and TENON_IEEE_MATH_BEGIN applies to them. g++ compiles an inlined function with the flags of
// its caller and does not need them.
TENON_AVX2_INLINE __m256 _mm256_add_ps(__m256 a, __m256 b) { return a + b; }
TENON_AVX2_INLINE __m256 _mm256_sub_ps(__m256 a, __m256 b) { return a - b; }
TENON_AVX2_INLINE __m256 _mm256_mul_ps(__m256 a, __m256 b) { return a * b; }
TENON_AVX2_INLINE __m256 _mm256_div_ps(__m256 a, __m256 b) { return a / b; }
TENON_AVX2_INLINE __m256d _mm256_add_pd(__m256d a, __m256d b) { return a + b; }
TENON_AVX2_INLINE __m128 _mm_add_ps(__m128 a, __m128 b) { return a + b; }
TENON_AVX2_INLINE __m128 _mm_add_ss(__m128 a, __m128 b) { return a[0] += b[0], a; }
TENON_AVX2_INLINE __m128 _mm_sub_ps(__m128 a, __m128 b) { return a - b; }
TENON_AVX2_INLINE __m128 _mm_mul_ps(__m128 a, __m128 b) { return a * b; }
TENON_AVX2_INLINE __m128 _mm_div_ps(__m128 a, __m128 b) { return a / b; }
TENON_AVX2_INLINE __m256 _mm256_maskload_ps(const float* p, __m256i live) {  // as integers: the bits may be NaN
  return (__m256)__builtin_ia32_maskloadd256((const __v8si*)p, (__v8si)live);
}
TENON_AVX2_INLINE __m256 _mm256_fmadd_ps(__m256 a, __m256 b, __m256 c) { return __builtin_ia32_vfmaddps256(a, b, c); }
TENON_AVX2_INLINE __m256 _mm256_fmsub_ps(__m256 a, __m256 b, __m256 c) {
  return __builtin_ia32_vfmaddps256(a, b, -0.0f - c);
}
TENON_AVX2_INLINE __m256 _mm256_fnmadd_ps(__m256 a, __m256 b, __m256 c) {
  return __builtin_ia32_vfmaddps256(-0.0f - a, b, c);
}
TENON_AVX2_INLINE __m256 _mm256_blendv_ps(__m256 a, __m256 b, __m256 mask) {
  // Selects integers, because the compiler would turn a selection of floats into a maximum that ignores NaN.
  return (__m256)((__v8si)mask < 0 ? (__v8si)b : (__v8si)a);
}
TENON_AVX2_INLINE __m256 _mm256_sqrt_ps(__m256 a) {
  __m256 root;
  __asm__("vsqrtps %1, %0" : "=x"(root) : "x"(a));
  return root;
}
TENON_AVX2_INLINE __m128 _mm_sqrt_ps(__m128 a) {
  __m128 root;
  __asm__("vsqrtps %1, %0" : "=x"(root) : "x"(a));
  return root;
}
#endif

/// True if the AVX2 path exists for element type T and this device uses it.
template <class T>
inline bool takes_avx2(const Cpu& dev) {
  return TENON_X86 && std::is_same_v<T, float> && dev.isa() == Isa::avx2;
}

#if TENON_X86
namespace avx2 {

inline constexpr int lanes = 8;

/// The first n lanes set, 0 <= n <= 8; for maskload and maskstore.
TENON_AVX2_INLINE __m256i first(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Access to a whole vector at p, or only to its first lanes. On some processors a masked store costs ten times a plain one,
// so loops use whole vectors and only their last step uses a mask.
struct FullVector {};
struct MaskedVector {
  __m256i live;
};
TENON_AVX2_INLINE __m256 load(const float* p, FullVector) { return _mm256_loadu_ps(p); }
TENON_AVX2_INLINE __m256 load(const float* p, MaskedVector m) { return _mm256_maskload_ps(p, m.live); }
TENON_AVX2_INLINE void store(float* p, FullVector, __m256 v) { _mm256_storeu_ps(p, v); }
TENON_AVX2_INLINE void store(float* p, MaskedVector m, __m256 v) { _mm256_maskstore_ps(p, m.live, v); }

/// v with 0 in the lanes that are not live.
TENON_AVX2_INLINE __m256 only(__m256 v, FullVector) { return v; }
TENON_AVX2_INLINE __m256 only(__m256 v, MaskedVector m) { return _mm256_and_ps(v, _mm256_castsi256_ps(m.live)); }

/// math::flush_denormal of each lane.
TENON_AVX2_INLINE __m256 flush_denormals(__m256 x) {
  const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
  return _mm256_and_ps(x, _mm256_cmp_ps(size, _mm256_set1_ps(0x1p-126f), _CMP_NLT_UQ));  // true for NaN
}

/// Eight parallel sums of floats, in double.
struct Doubles {
  __m256d low, high;
  TENON_AVX2_INLINE void add(__m256 v) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
  }
  TENON_AVX2_INLINE void add_product(__m256 a, __m256 b) {
    low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_castps256_ps128(b)), low);
    high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)), _mm256_cvtps_pd(_mm256_extractf128_ps(b, 1)),
                           high);
  }
  TENON_AVX2_INLINE double sum() const {  // always in this order
    double s[4];
    _mm256_storeu_pd(s, _mm256_add_pd(low, high));
    return (s[0] + s[2]) + (s[1] + s[3]);
  }
};

/// Calls step(i, FullVector or MaskedVector) for i = begin, begin + 8, ... below end. The operator() of step must be
/// TENON_AVX2_INLINE.
template <class Step>
TENON_AVX2_INLINE void for_each_vector(std::size_t begin, std::size_t end, Step& step) {
  std::size_t i = begin;
  for (; i + lanes <= end; i += lanes) step(i, FullVector{});
  if (i < end) step(i, MaskedVector{first(static_cast<int>(end - i))});
}

/// ((0+4)+(2+6)) + ((1+5)+(3+7)): always this order.
TENON_AVX2_INLINE float sum(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace avx2
#endif

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
