// The few things that AVX2 kernels need beyond the intrinsics: masks for tails and sums in a fixed order.
// Every function carries its target attribute, so a unit built with plain -O2 can hold it.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"
#include "tenon/core/device.hpp"

#if TENON_X86
#include <immintrin.h>
#endif

#include <type_traits>

namespace tenon::kernels {

/// True where the AVX2 path exists for element type T and this device takes it.
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

// A vector at p, whole or its first lanes alone. Masked stores cost some processors ten times a plain one, so that
// loops take whole vectors and only their last step a part.
struct Whole {};
struct Part {
  __m256i live;
};
TENON_AVX2_INLINE __m256 load(const float* p, Whole) { return _mm256_loadu_ps(p); }
TENON_AVX2_INLINE __m256 load(const float* p, Part m) { return _mm256_maskload_ps(p, m.live); }
TENON_AVX2_INLINE void store(float* p, Whole, __m256 v) { _mm256_storeu_ps(p, v); }
TENON_AVX2_INLINE void store(float* p, Part m, __m256 v) { _mm256_maskstore_ps(p, m.live, v); }

/// v with 0 in the lanes that are not live.
TENON_AVX2_INLINE __m256 only(__m256 v, Whole) { return v; }
TENON_AVX2_INLINE __m256 only(__m256 v, Part m) { return _mm256_and_ps(v, _mm256_castsi256_ps(m.live)); }

/// Sums of floats in double, eight side by side.
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

/// step(i, Whole or Part) for i = begin, begin + 8, ... below end; step's operator() is TENON_AVX2_INLINE.
template <class Step>
TENON_AVX2_INLINE void for_each_vector(std::size_t begin, std::size_t end, Step& step) {
  std::size_t i = begin;
  for (; i + lanes <= end; i += lanes) step(i, Whole{});
  if (i < end) step(i, Part{first(static_cast<int>(end - i))});
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
