// tenon's own exp, log, tanh, erf, sin, cos, pow and related functions. They give the same bits with every C library,
// compiler and device.
//   float    computed in double and rounded once: within 0.51 ulp, erf within 0.6
//   double   exp, log, pow, sin, cos within 1 ulp; log1p 1.2; expm1 2; tanh, sigmoid 3; erf 5   (tests/core/math.cpp)
//
// They use only + - * /, which IEEE 754 rounds correctly everywhere, comparisons and bit casts. Equal bits are guaranteed
// where the compiler does not contract a * b + c into one FMA: plain x86-64 has no FMA, and our presets set
// -ffp-contract=off. With contraction the bounds still hold, but the bits may differ.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::math {

namespace detail {

inline constexpr double infinity = __builtin_huge_val();
inline constexpr double nan = __builtin_nan("");
inline constexpr double ln2_high = 0x1.62e42fee00000p-1;  // 33 bits: k * ln2_high is exact for |k| < 2^20
inline constexpr double ln2_low = 0x1.a39ef35793c76p-33;

TENON_HD inline std::uint64_t bits(double x) { return __builtin_bit_cast(std::uint64_t, x); }
TENON_HD inline double from_bits(std::uint64_t b) { return __builtin_bit_cast(double, b); }
TENON_HD inline double magnitude(double x) { return from_bits(bits(x) & ~(std::uint64_t{1} << 63)); }
TENON_HD inline double with_sign_of(double magnitude, double s) {
  return from_bits(bits(magnitude) | (bits(s) & (std::uint64_t{1} << 63)));
}

/// Rounds to the nearest integer, ties to even; |x| < 2^51.
TENON_HD inline double nearest(double x) { return x + 0x1.8p52 - 0x1.8p52; }

/// x * 2^k for -2100 < k < 2100, rounded once.
TENON_HD inline double scale(double x, int k) {
  if (k > 1023) {
    x *= 0x1p1023;
    k = k - 1023 > 1023 ? 1023 : k - 1023;
  } else if (k < -969) {  // keep 53 bits normal until the last product
    x *= 0x1p-969;
    k = k + 969 < -1022 ? -1022 : k + 969;
  }
  return x * from_bits(static_cast<std::uint64_t>(k + 1023) << 52);
}

/// Taylor series of (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2. The first omitted term is below 2^-57 of the sum.
/// Even and odd powers are summed separately, so that the processor computes both at the same time.
TENON_HD inline double exp_tail(double r) {
  const double z = r * r;
  double even = 1.0 / 479001600, odd = 1.0 / 6227020800;  // 1 / 12!, 1 / 13!
  even = even * z + 1.0 / 3628800, odd = odd * z + 1.0 / 39916800;
  even = even * z + 1.0 / 40320, odd = odd * z + 1.0 / 362880;
  even = even * z + 1.0 / 720, odd = odd * z + 1.0 / 5040;
  even = even * z + 1.0 / 24, odd = odd * z + 1.0 / 120;
  even = even * z + 0.5, odd = odd * z + 1.0 / 6;
  return odd * r + even;
}

/// x = 2^k m with m in [sqrt(1/2), sqrt(2)), for finite x > 0.
struct Binary {
  double m;
  int k;
};
TENON_HD inline Binary split(double x) {
  int k = 0;
  if (x < 0x1p-1022) {  // denormal
    x *= 0x1p54;
    k = -54;
  }
  const std::uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
  const std::uint64_t offset = bits(x) - sqrt_half;
  k += static_cast<int>(static_cast<std::int64_t>(offset) >> 52);
  return {from_bits((offset & 0xfffffffffffff) + sqrt_half), k};
}

/// 2 atanh(s) / s - 2 as a function of z = s^2, z <= 0.0295: 2 z (1/3 + z/5 + ...). The first omitted term is below 2^-60.
TENON_HD inline double atanh_tail(double z) {
  double p = 2.0 / 21;
  p = p * z + 2.0 / 19;
  p = p * z + 2.0 / 17;
  p = p * z + 2.0 / 15;
  p = p * z + 2.0 / 13;
  p = p * z + 2.0 / 11;
  p = p * z + 2.0 / 9;
  p = p * z + 2.0 / 7;
  p = p * z + 2.0 / 5;
  p = p * z + 2.0 / 3;
  return p * z;
}

/// An unevaluated sum high + low, with about 100 bits.
struct Pair {
  double high, low;
};
TENON_HD inline Pair sum(double a, double b) {  // exact (Knuth)
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
TENON_HD inline Pair product(double a, double b) {  // error 2^-78: exact products of halves of 26 and 27 bits
  const double ah = from_bits(bits(a) & ~std::uint64_t{0x7ffffff}), al = a - ah;
  const double bh = from_bits(bits(b) & ~std::uint64_t{0x7ffffff}), bl = b - bh;
  return sum(ah * bh, ah * bl + al * bh + al * bl);
}
TENON_HD inline Pair operator+(Pair a, Pair b) {
  const Pair s = sum(a.high, b.high);
  return sum(s.high, s.low + (a.low + b.low));
}
TENON_HD inline Pair operator*(Pair a, Pair b) {
  const Pair p = product(a.high, b.high);
  return sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

/// log(x) to about 65 bits, for finite x > 0.
TENON_HD inline Pair log_pair(double x) {
  const Binary b = split(x);
  const double f = b.m - 1;
  const Pair d = sum(2.0, f);
  const double q = f / d.high;
  const Pair back = product(q, d.high);
  const Pair s = sum(q, (((f - back.high) - back.low) - q * d.low) / d.high);  // f / (2 + f)
  const Pair z = s * s;
  double p = 2.0 / 25;  // two more terms than atanh_tail
  p = p * z.high + 2.0 / 23;
  p = p * z.high + 2.0 / 21;
  p = p * z.high + 2.0 / 19;
  p = p * z.high + 2.0 / 17;
  p = p * z.high + 2.0 / 15;
  p = p * z.high + 2.0 / 13;
  p = p * z.high + 2.0 / 11;
  p = p * z.high + 2.0 / 9;
  p = p * z.high + 2.0 / 7;
  p = p * z.high + 2.0 / 5;
  const Pair two_thirds{2.0 / 3, 0x1.5555555555555p-55};
  const Pair tail = z * (two_thirds + Pair{p * z.high, 0});
  const Pair log_m = s * (Pair{2, 0} + tail);
  const double k = b.k;
  return sum(k * ln2_high, 0) + (product(k, ln2_low) + log_m);
}

/// sin and cos for |r| <= pi / 4 by Taylor series. The first omitted terms are below 2^-58.
TENON_HD inline double sin_small(double r, double low) {
  const double z = r * r;
  double p = 1.0 / 355687428096000;  // 1 / 17!
  p = p * z - 1.0 / 1307674368000;
  p = p * z + 1.0 / 6227020800;
  p = p * z - 1.0 / 39916800;
  p = p * z + 1.0 / 362880;
  p = p * z - 1.0 / 5040;
  p = p * z + 1.0 / 120;
  p = p * z - 1.0 / 6;
  return r + (r * z * p + low);
}
TENON_HD inline double cos_small(double r, double low) {
  const double z = r * r;
  double p = -1.0 / 6402373705728000;  // 1 / 18!
  p = p * z + 1.0 / 20922789888000;
  p = p * z - 1.0 / 87178291200;
  p = p * z + 1.0 / 479001600;
  p = p * z - 1.0 / 3628800;
  p = p * z + 1.0 / 40320;
  p = p * z - 1.0 / 720;
  p = p * z + 1.0 / 24;
  const double half = 0.5 * z, top = 1 - half;
  return top + (((1 - top) - half) + (z * z * p - r * low));
}

/// x - quarter * pi/2 as high + low. pi/2 is split into three parts. Parts of 33 bits make the products exact.
struct Quarter {
  double high, low;
  int quarter;  // mod 4
};
TENON_HD inline Quarter quarter_turns(double x) {
  const double k = nearest(x * 0x1.45f306dc9c883p-1);  // 2 / pi
  const double a = x - k * 0x1.921fb54400000p+0;       // exact
  const Pair r = sum(a, -(k * 0x1.0b4611a600000p-34));
  const double tail = r.low - k * 0x1.3198a2e037073p-69;
  const Pair whole = sum(r.high, tail);
  return {whole.high, whole.low, static_cast<int>(static_cast<std::int64_t>(k) & 3)};
}

/// Coefficients of erf for float accuracy, fitted to minimize the maximum relative error. The vector version shares them.
///   |x| < 1: erf(x) = x P(x^2), to 2^-29     1 <= |x| <= 4: erf(x) = 1 - exp(Q(|x|)), to 2^-29     beyond 4: 1
struct ErfFit {
  double p[7] = {1.12837916573,    -0.376126258398,    0.112835852708,  -0.0268538160707,
                 0.00518833450297, -0.000801024766595, 7.85402635022e-5};
  double q[7] = {-0.000341512258302, -1.12708923566,    -0.638144754177,  -0.103106825572,
                 0.0218380993075,    -0.00294766745588, 0.000186380158125};
};

}  // namespace detail

/// True if x is neither infinite nor NaN. It tests the bits of the exponent, so that -ffinite-math-only cannot remove it.
TENON_HD inline bool is_finite(float x) { return (__builtin_bit_cast(std::uint32_t, x) & 0x7f800000u) != 0x7f800000u; }
TENON_HD inline bool is_finite(double x) { return (detail::bits(x) & 0x7ff0000000000000u) != 0x7ff0000000000000u; }

/// True if x is NaN. It tests bits, like is_finite.
TENON_HD inline bool is_nan(float x) { return (__builtin_bit_cast(std::uint32_t, x) & 0x7fffffffu) > 0x7f800000u; }
TENON_HD inline bool is_nan(double x) { return (detail::bits(x) & 0x7fffffffffffffffu) > 0x7ff0000000000000u; }

/// The correctly rounded square root. std::sqrt is compiled with the unit's flags, and may then be an estimate.
inline double sqrt(double x) { return __builtin_sqrt(x); }
inline float sqrt(float x) {
#if defined(__clang__) && defined(__x86_64__) && !defined(__CUDA__)  // clang's builtin uses the unit's flags too
  float root;
#ifdef __AVX__
  __asm__("vsqrtss %1, %1, %0" : "=x"(root) : "x"(x));
#else
  __asm__("sqrtss %1, %0" : "=x"(root) : "x"(x));
#endif
  return root;
#else
  return __builtin_sqrtf(x);
#endif
}

/// e^x
TENON_HD inline double exp(double x) {
  if (!(x < 709.8)) return x > 0 ? detail::infinity : x;  // or NaN
  if (x < -745.2) return 0;
  const double k = detail::nearest(x * 0x1.71547652b82fep+0);  // 1 / ln 2
  const double high = x - k * detail::ln2_high, low = k * detail::ln2_low, r = high - low;
  const double tail = ((high - r) - low) + r * r * detail::exp_tail(r);
  return detail::scale(1 + (r + tail), static_cast<int>(k));
}

/// e^x - 1, accurate also near 0
TENON_HD inline double expm1(double x) {
  if (x != x) return x;
  if (x > 40 || x < -40) return x > 0 ? exp(x) : -1;
  const double k = detail::nearest(x * 0x1.71547652b82fep+0);
  const double high = x - k * detail::ln2_high, low = k * detail::ln2_low, r = high - low;
  const double p = r + (((high - r) - low) + r * r * detail::exp_tail(r));
  if (k == 0) return p;
  const double two_k = detail::scale(1, static_cast<int>(k));
  return (two_k - 1) + two_k * p;
}

/// Natural logarithm; NaN below 0, -inf at 0
TENON_HD inline double log(double x) {
  if (!(x > 0)) return x == 0 ? -detail::infinity : detail::nan;
  if (x == detail::infinity) return x;
  const detail::Binary b = detail::split(x);
  const double f = b.m - 1, s = f / (2 + f), k = b.k;
  // 2 s = f - s f, so log(m) = f - s (f - tail): the leading f is exact.
  const double rest = s * (f - detail::atanh_tail(s * s));
  return k * detail::ln2_high + (f - (rest - k * detail::ln2_low));
}

/// log(1 + x), accurate also near 0
TENON_HD inline double log1p(double x) {
  if (!(x > -1)) return x == -1 ? -detail::infinity : detail::nan;
  if (x > 0x1p54) return log(x);
  const double u = 1 + x;
  const double lost = x - (u - 1);  // u + lost is 1 + x
  if (u == 1) return x;
  return log(u) + lost / u;
}

TENON_HD inline double tanh(double x) {
  const double a = detail::magnitude(x);
  if (!(a < 22)) return x != x ? x : detail::with_sign_of(1, x);
  const double t = expm1(-2 * a);  // in (-1, 0]
  return detail::with_sign_of(-t / (t + 2), x);
}

/// 1 / (1 + e^-x)
TENON_HD inline double sigmoid(double x) {
  const double e = exp(-detail::magnitude(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

TENON_HD inline double erf(double x) {
  const double a = detail::magnitude(x);
  if (!(a < 6)) return x != x ? x : detail::with_sign_of(1, x);
  const double two_over_sqrt_pi = 0x1.20dd750429b6dp+0, z = x * x;
  if (a < 1.5) {  // Maclaurin series, sum of (-z)^n / (n! (2n + 1))
    double p = 0;
    for (int n = 27; n >= 0; --n) p = 1.0 / (2 * n + 1) - z * p / (n + 1);
    return two_over_sqrt_pi * x * p;
  }
  double c = a;  // continued fraction of erfc, from the inside out
  for (int n = 120; n > 0; --n) c = a + 0.5 * n / c;
  return detail::with_sign_of(1 - 0.5 * two_over_sqrt_pi * exp(-z) / c, x);
}

/// Sine for |x| <= 2^20, the range in which the argument reduction is exact. NaN outside this range.
TENON_HD inline double sin(double x) {
  if (!(detail::magnitude(x) <= 0x1p20)) return detail::nan;
  const detail::Quarter q = detail::quarter_turns(x);
  if (q.high == 0) return x == 0 ? x : 0;
  const double y = q.quarter & 1 ? detail::cos_small(q.high, q.low) : detail::sin_small(q.high, q.low);
  return q.quarter & 2 ? -y : y;
}

/// Cosine for |x| <= 2^20. NaN outside this range.
TENON_HD inline double cos(double x) {
  if (!(detail::magnitude(x) <= 0x1p20)) return detail::nan;
  const detail::Quarter q = detail::quarter_turns(x);
  const double y = q.quarter & 1 ? detail::sin_small(q.high, q.low) : detail::cos_small(q.high, q.low);
  return q.quarter == 1 || q.quarter == 2 ? -y : y;
}

/// x^y with C's rules for zeros, infinities and NaN
TENON_HD inline double pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return detail::nan;
  const double ax = detail::magnitude(x), ay = detail::magnitude(y);
  const bool whole = ay >= 0x1p52 || detail::nearest(ay) == ay;
  const bool odd = whole && ay < 0x1p53 && (static_cast<std::int64_t>(ay) & 1);
  const bool negative = odd && (detail::bits(x) >> 63);
  if (ay == detail::infinity) return ax == 1 ? 1 : (ax > 1) == (y > 0) ? detail::infinity : 0;
  double r;
  if (ax == 0 || ax == detail::infinity) {
    r = (ax == 0) == (y < 0) ? detail::infinity : 0;
  } else {
    if (x < 0 && !whole) return detail::nan;
    if (ax == 1) return negative ? -1 : 1;
    const detail::Pair l = detail::log_pair(ax);
    if (detail::magnitude(l.high * y) > 800) {
      r = l.high * y > 0 ? detail::infinity : 0;
    } else {
      const detail::Pair e = detail::product(y, l.high);
      const double high = e.high, low = e.low + y * l.low;
      // exp(high + low). The low part is included before the result is rounded.
      const double k = detail::nearest(high * 0x1.71547652b82fep+0);
      const double a = high - k * detail::ln2_high, b = k * detail::ln2_low - low, s = a - b;
      const double tail = ((a - s) - b) + s * s * detail::exp_tail(s);
      r = detail::scale(1 + (s + tail), static_cast<int>(k));
    }
  }
  return negative ? -r : r;
}

TENON_HD inline float exp(float x) { return static_cast<float>(exp(static_cast<double>(x))); }
TENON_HD inline float expm1(float x) { return static_cast<float>(expm1(static_cast<double>(x))); }
TENON_HD inline float log(float x) { return static_cast<float>(log(static_cast<double>(x))); }
TENON_HD inline float log1p(float x) { return static_cast<float>(log1p(static_cast<double>(x))); }
TENON_HD inline float tanh(float x) { return static_cast<float>(tanh(static_cast<double>(x))); }
TENON_HD inline float sigmoid(float x) { return static_cast<float>(sigmoid(static_cast<double>(x))); }
TENON_HD inline float sin(float x) { return static_cast<float>(sin(static_cast<double>(x))); }
TENON_HD inline float cos(float x) { return static_cast<float>(cos(static_cast<double>(x))); }
TENON_HD inline float pow(float x, float y) {
  return static_cast<float>(pow(static_cast<double>(x), static_cast<double>(y)));
}
TENON_HD inline float erf(float x) {
  const double a = detail::magnitude(x);
  if (!(a < 4)) return x != x ? x : static_cast<float>(detail::with_sign_of(1, x));
  const detail::ErfFit fit;
  const double t = a < 1 ? a * a : a;
  double p = 0;
  for (int i = 6; i >= 0; --i) p = p * t + (a < 1 ? fit.p[i] : fit.q[i]);
  return static_cast<float>(detail::with_sign_of(a < 1 ? a * p : 1 - exp(p), x));
}

/// x, or 0 if x is denormal. NaN and infinities are kept. Decaying state (momenta, running statistics) is stored through
/// this function, because denormals would remain in it and make processors 3 to 9 times slower. The bits are the same
/// whether or not the processor flushes denormals itself.
TENON_HD inline float flush_denormal(float x) { return x < 0x1p-126f && x > -0x1p-126f ? 0.0f : x; }
TENON_HD inline double flush_denormal(double x) { return x < 0x1p-1022 && x > -0x1p-1022 ? 0.0 : x; }

}  // namespace tenon::math

TENON_IEEE_MATH_END
