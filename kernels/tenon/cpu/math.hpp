// exp, log, tanh, erf and sigmoid of 8 floats: the vector versions of core/math.hpp.
//   Errors over all floats, including denormals: log 1 ulp, exp 1.1, the others 2.5 at most   (tests/kernels/math.cpp)
// Explicit FMA, no table, no branch: both sides of a condition are computed and blended.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/math.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

#if TENON_X86
namespace tenon::kernels::avx2 {

TENON_AVX2_INLINE __m256 splat(double x) { return _mm256_set1_ps(static_cast<float>(x)); }

/// p t + c
TENON_AVX2_INLINE __m256 horner(__m256 p, __m256 t, double c) { return _mm256_fmadd_ps(p, t, splat(c)); }

TENON_AVX2_INLINE __m256 negate(__m256 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }
TENON_AVX2_INLINE __m256 magnitude(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
TENON_AVX2_INLINE __m256 with_sign_of(__m256 magnitude, __m256 s) {
  return _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0f), s));
}

/// x = k ln 2 + r, |r| <= ln(2) / 2, for |x| < 120; k as floats.
struct Reduced {
  __m256 k, r;
};
TENON_AVX2_INLINE Reduced by_ln2(__m256 x) {
  const __m256 k =
      _mm256_round_ps(_mm256_mul_ps(x, splat(0x1.715476p+0)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 r = _mm256_fnmadd_ps(k, splat(0x1.62e400p-1), x);  // the constant has 15 bits, so exact
  return {k, _mm256_fnmadd_ps(k, splat(0x1.7f7d1cp-20), r)};
}

/// 2^k for integers -126 <= k <= 127, given as floats.
TENON_AVX2_INLINE __m256 power_of_two(__m256 k) {
  const __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127)), 23);
  return _mm256_castsi256_ps(e);
}

/// exp(r) - 1 for |r| <= ln(2) / 2, by the Taylor series up to r^7. The error is below 2^-27.
TENON_AVX2_INLINE __m256 expm1_reduced(__m256 r) {
  __m256 p = splat(1.0 / 5040);
  p = horner(p, r, 1.0 / 720);
  p = horner(p, r, 1.0 / 120);
  p = horner(p, r, 1.0 / 24);
  p = horner(p, r, 1.0 / 6);
  p = horner(p, r, 0.5);
  return _mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r);
}

/// exp(x) for |x| <= 87, where the result and the scale are normal numbers.
TENON_AVX2_INLINE __m256 exp_normal(__m256 x) {
  const Reduced v = by_ln2(x);
  return _mm256_mul_ps(_mm256_add_ps(expm1_reduced(v.r), splat(1)), power_of_two(v.k));
}

TENON_AVX2_INLINE __m256 exp(__m256 x) {
  // Outside this range the result is 0 or infinity. min and max return their second operand for NaN, so NaN is kept.
  const __m256 in = _mm256_max_ps(splat(-104), _mm256_min_ps(splat(89), x));
  const Reduced v = by_ln2(in);
  const __m256 y = _mm256_add_ps(expm1_reduced(v.r), splat(1));
  // 2^k is applied as two factors, because k may be -150 or 128.
  const __m256 half = _mm256_round_ps(_mm256_mul_ps(v.k, splat(0.5)), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  return _mm256_mul_ps(_mm256_mul_ps(y, power_of_two(half)), power_of_two(_mm256_sub_ps(v.k, half)));
}

TENON_AVX2_INLINE __m256 log(__m256 x) {
  const __m256 denormal = _mm256_cmp_ps(x, splat(0x1p-126), _CMP_LT_OQ);
  const __m256 scaled = _mm256_blendv_ps(x, _mm256_mul_ps(x, splat(0x1p23)), denormal);
  const __m256i sqrt_half = _mm256_set1_epi32(0x3f3504f3);
  const __m256i offset = _mm256_sub_epi32(_mm256_castps_si256(scaled), sqrt_half);
  const __m256i mantissa = _mm256_add_epi32(_mm256_and_si256(offset, _mm256_set1_epi32(0x7fffff)), sqrt_half);
  const __m256 k = _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_srai_epi32(offset, 23)), _mm256_and_ps(denormal, splat(23)));
  // log(1 + f) = f - s (f - tail), s = f / (2 + f): as in core/math.hpp
  const __m256 f = _mm256_sub_ps(_mm256_castsi256_ps(mantissa), splat(1));
  const __m256 s = _mm256_div_ps(f, _mm256_add_ps(f, splat(2)));
  const __m256 z = _mm256_mul_ps(s, s);
  __m256 p = splat(2.0 / 9);
  p = horner(p, z, 2.0 / 7);
  p = horner(p, z, 2.0 / 5);
  p = horner(p, z, 2.0 / 3);
  const __m256 rest = _mm256_mul_ps(s, _mm256_fnmadd_ps(p, z, f));
  const __m256 low = _mm256_fmsub_ps(k, splat(-0x1.05c610p-29), rest);
  const __m256 y = _mm256_fmadd_ps(k, splat(0x1.62e430p-1), _mm256_add_ps(f, low));
  const __m256 zero = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_EQ_OQ);
  const __m256 good = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ);
  const __m256 top = _mm256_cmp_ps(x, splat(math::detail::infinity), _CMP_EQ_OQ);
  const __m256 ordinary = _mm256_blendv_ps(y, x, top);
  const __m256 special = _mm256_blendv_ps(splat(math::detail::nan), splat(-math::detail::infinity), zero);
  return _mm256_blendv_ps(special, ordinary, good);
}

/// 1 / (1 + e^-x)
TENON_AVX2_INLINE __m256 sigmoid(__m256 x) {
  const __m256 e = exp(with_sign_of(magnitude(x), _mm256_set1_ps(-0.0f)));  // never overflows
  const __m256 top = _mm256_blendv_ps(splat(1), e, x);                      // e where x is negative
  return _mm256_div_ps(top, _mm256_add_ps(e, splat(1)));
}

TENON_AVX2_INLINE __m256 tanh(__m256 x) {
  // With t = exp(-2 |x|) - 1 in (-1, 0]: -t / (t + 2). expm1 = (2^k - 1) + 2^k (exp(r) - 1).
  const __m256 a = _mm256_min_ps(splat(10), magnitude(x));  // the result is 1 from 9.01 on; NaN is kept
  const Reduced v = by_ln2(_mm256_mul_ps(a, splat(-2)));
  const __m256 two_k = power_of_two(v.k);
  const __m256 t = _mm256_fmadd_ps(two_k, expm1_reduced(v.r), _mm256_sub_ps(two_k, splat(1)));
  return with_sign_of(_mm256_div_ps(negate(t), _mm256_add_ps(t, splat(2))), x);
}

TENON_AVX2_INLINE __m256 erf(__m256 x) {
  const __m256 a = _mm256_min_ps(splat(4), magnitude(x));
  const __m256 z = _mm256_mul_ps(a, a);
  constexpr math::detail::ErfFit fit;
  __m256 p = splat(fit.p[6]), q = splat(fit.q[6]);
  for (int i = 5; i >= 0; --i) {
    p = horner(p, z, fit.p[i]);
    q = horner(q, a, fit.q[i]);
  }
  const __m256 small = _mm256_mul_ps(a, p);
  const __m256 large = _mm256_sub_ps(splat(1), exp_normal(q));
  return with_sign_of(_mm256_blendv_ps(large, small, _mm256_cmp_ps(a, splat(1), _CMP_LT_OQ)), x);
}

}  // namespace tenon::kernels::avx2
#endif

TENON_IEEE_MATH_END
