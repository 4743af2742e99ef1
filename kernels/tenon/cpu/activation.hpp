// Activations: y = f(x) elementwise, alone or as the epilogue of another kernel.
//   ActivationFunction<A>::of(x)              f(x), for T and for a vector of 8 floats
//   ActivationFunction<A>::derivative(x, y)        f'(x), given x and y = f(x); functions with from_output() use y only
//   activation_forward    x (B, ...) -> y (B, ...)                 y may be x
//   activation_backward   x or y, dy (B, ...) -> dx (B, ...)       dx may be dy
// The formulas are those of PyTorch: gelu uses erf, gelu_tanh uses tanh. The slope at 0 is 0 for relu and num / den for
// leaky_relu.
// Cost  alone: 8 bytes per element forward, 12 or 16 backward; bound by memory, except sigmoid, tanh, both gelu and silu.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/geometry.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/math.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

template <Activation A>
struct ActivationFunction;

template <Activation A>
  requires(A.kind == Activation::none)
struct ActivationFunction<A> {
  template <class T>
  TENON_INLINE static T of(T x) {
    return x;
  }
  template <class T>
  TENON_INLINE static T derivative(T, T) {
    return T(1);
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return x; }
  TENON_AVX2_INLINE static __m256 derivative(__m256, __m256) { return _mm256_set1_ps(1); }
#endif
};

template <Activation A>
  requires(A.kind == Activation::relu)
struct ActivationFunction<A> {
  template <class T>
  TENON_INLINE static T of(T x) {
    return x < T(0) ? T(0) : x;  // NaN stays NaN
  }
  template <class T>
  TENON_INLINE static T derivative(T, T y) {
    return y > T(0) ? T(1) : T(0);
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return _mm256_max_ps(_mm256_setzero_ps(), x); }  // NaN stays NaN
  TENON_AVX2_INLINE static __m256 derivative(__m256, __m256 y) {
    return _mm256_and_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ), _mm256_set1_ps(1));
  }
#endif
};

template <Activation A>
  requires(A.kind == Activation::leaky_relu)
struct ActivationFunction<A> {
  // y is positive exactly where x is, so y determines the slope.
  static_assert(A.num >= 0 && A.den > 0, "tenon: leaky_relu's negative slope num / den must be 0 or positive");
  static constexpr double negative = static_cast<double>(A.num) / A.den;

  template <class T>
  TENON_INLINE static T of(T x) {
    return x > T(0) ? x : x * static_cast<T>(negative);
  }
  template <class T>
  TENON_INLINE static T derivative(T, T y) {
    return y > T(0) ? T(1) : static_cast<T>(negative);
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return _mm256_mul_ps(x, derivative(x, x)); }
  TENON_AVX2_INLINE static __m256 derivative(__m256, __m256 y) {
    return _mm256_blendv_ps(avx2::splat(negative), avx2::splat(1), _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ));
  }
#endif
};

template <Activation A>
  requires(A.kind == Activation::sigmoid)
struct ActivationFunction<A> {
  template <class T>
  TENON_INLINE static T of(T x) {
    return math::sigmoid(x);
  }
  template <class T>
  TENON_INLINE static T derivative(T, T y) {
    return (T(1) - y) * y;
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return avx2::sigmoid(x); }
  TENON_AVX2_INLINE static __m256 derivative(__m256, __m256 y) {
    return _mm256_mul_ps(_mm256_sub_ps(avx2::splat(1), y), y);
  }
#endif
};

template <Activation A>
  requires(A.kind == Activation::tanh)
struct ActivationFunction<A> {
  template <class T>
  TENON_INLINE static T of(T x) {
    return math::tanh(x);
  }
  template <class T>
  TENON_INLINE static T derivative(T, T y) {
    return T(1) - y * y;
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return avx2::tanh(x); }
  TENON_AVX2_INLINE static __m256 derivative(__m256, __m256 y) { return _mm256_fnmadd_ps(y, y, avx2::splat(1)); }
#endif
};

template <Activation A>
  requires(A.kind == Activation::gelu)
struct ActivationFunction<A> {
  // f = x P(x), f' = P(x) + x p(x), with the normal distribution function P and its density p
  static constexpr double sqrt_half = 0x1.6a09e667f3bcdp-1;
  static constexpr double density = 0x1.9884533d43651p-2;  // 1 / sqrt(2 pi)

  template <class T>
  TENON_INLINE static T of(T x) {
    return x * distribution(x);
  }
  template <class T>
  TENON_INLINE static T derivative(T x, T) {
    return distribution(x) + x * static_cast<T>(density) * math::exp(T(-0.5) * x * x);
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return _mm256_mul_ps(x, distribution(x)); }
  TENON_AVX2_INLINE static __m256 derivative(__m256 x, __m256) {
    const __m256 gauss = avx2::exp(_mm256_mul_ps(_mm256_mul_ps(avx2::splat(-0.5), x), x));
    return _mm256_fmadd_ps(_mm256_mul_ps(x, avx2::splat(density)), gauss, distribution(x));
  }
#endif

 private:
  template <class T>
  TENON_INLINE static T distribution(T x) {
    return T(0.5) * (T(1) + math::erf(x * static_cast<T>(sqrt_half)));
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 distribution(__m256 x) {
    const __m256 half = avx2::splat(0.5);
    return _mm256_fmadd_ps(half, avx2::erf(_mm256_mul_ps(x, avx2::splat(sqrt_half))), half);
  }
#endif
};

template <Activation A>
  requires(A.kind == Activation::gelu_tanh)
struct ActivationFunction<A> {
  // x (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
  static constexpr double scale = 0x1.9884533d43651p-1, cubic = 0.044715;

  template <class T>
  TENON_INLINE static T of(T x) {
    return T(0.5) * x * (T(1) + math::tanh(inner(x)));
  }
  template <class T>
  TENON_INLINE static T derivative(T x, T) {
    const T t = math::tanh(inner(x));
    const T du = static_cast<T>(scale) * (T(1) + static_cast<T>(3 * cubic) * x * x);
    return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * du;
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) {
    const __m256 half = _mm256_mul_ps(avx2::splat(0.5), x);
    return _mm256_fmadd_ps(half, avx2::tanh(inner(x)), half);
  }
  TENON_AVX2_INLINE static __m256 derivative(__m256 x, __m256) {
    const __m256 t = avx2::tanh(inner(x)), one = avx2::splat(1);
    const __m256 du =
        _mm256_mul_ps(avx2::splat(scale), _mm256_fmadd_ps(_mm256_mul_ps(avx2::splat(3 * cubic), x), x, one));
    const __m256 steep = _mm256_mul_ps(_mm256_mul_ps(x, _mm256_fnmadd_ps(t, t, one)), du);
    return _mm256_mul_ps(avx2::splat(0.5), _mm256_add_ps(_mm256_add_ps(one, t), steep));
  }
#endif

 private:
  template <class T>
  TENON_INLINE static T inner(T x) {
    return static_cast<T>(scale) * (x + static_cast<T>(cubic) * x * x * x);
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 inner(__m256 x) {
    const __m256 cube = _mm256_mul_ps(_mm256_mul_ps(x, x), x);
    return _mm256_mul_ps(avx2::splat(scale), _mm256_fmadd_ps(avx2::splat(cubic), cube, x));
  }
#endif
};

template <Activation A>
  requires(A.kind == Activation::silu)
struct ActivationFunction<A> {
  template <class T>
  TENON_INLINE static T of(T x) {
    return x * math::sigmoid(x);
  }
  template <class T>
  TENON_INLINE static T derivative(T x, T) {
    const T s = math::sigmoid(x);
    return s * (T(1) + x * (T(1) - s));
  }
#if TENON_X86
  TENON_AVX2_INLINE static __m256 of(__m256 x) { return _mm256_mul_ps(x, avx2::sigmoid(x)); }
  TENON_AVX2_INLINE static __m256 derivative(__m256 x, __m256) {
    const __m256 s = avx2::sigmoid(x), one = avx2::splat(1);
    return _mm256_mul_ps(s, _mm256_fmadd_ps(x, _mm256_sub_ps(one, s), one));
  }
#endif
};

inline constexpr std::size_t activation_grain = 16384;  // elements per task: 64 KiB of floats, a few microseconds

namespace portable {

template <Activation A, class T>
void activation_forward_range(const T* x, T* y, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) y[i] = ActivationFunction<A>::of(x[i]);
}

template <Activation A, class T>
void activation_backward_range(const T* x, const T* y, const T* dy, T* dx, bool accumulate, std::size_t begin,
                               std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    const T d = dy[i] * (A.from_output() ? ActivationFunction<A>::derivative(T(0), y[i])
                                         : ActivationFunction<A>::derivative(x[i], T(0)));
    dx[i] = accumulate ? dx[i] + d : d;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

template <Activation A>
struct ActivationForward {
  const float* x;
  float* y;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    store(y + i, live, ActivationFunction<A>::of(load(x + i, live)));
  }
};

template <Activation A>
struct ActivationBackward {
  const float *x, *y, *dy;
  float* dx;
  bool accumulate;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    __m256 d;
    if constexpr (A.from_output())
      d = ActivationFunction<A>::derivative(_mm256_setzero_ps(), load(y + i, live));
    else
      d = ActivationFunction<A>::derivative(load(x + i, live), _mm256_setzero_ps());
    d = _mm256_mul_ps(load(dy + i, live), d);
    store(dx + i, live, accumulate ? _mm256_add_ps(load(dx + i, live), d) : d);
  }
};

template <Activation A>
TENON_AVX2 void activation_forward_range(const float* x, float* y, std::size_t begin, std::size_t end) {
  ActivationForward<A> step{x, y};
  for_each_vector(begin, end, step);
}

template <Activation A>
TENON_AVX2 void activation_backward_range(const float* x, const float* y, const float* dy, float* dx, bool accumulate,
                                          std::size_t begin, std::size_t end) {
  ActivationBackward<A> step{x, y, dy, dx, accumulate};
  for_each_vector(begin, end, step);
}

}  // namespace avx2
#endif

/// y = f(x)
template <class T, int... D, Activation A>
void activation_forward(Cpu& dev, std::integral_constant<Activation, A>, std::type_identity_t<In<T, D...>> x,
                        Out<T, D...> y) {
  dev.parallel_chunks(y.size(), activation_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::activation_forward_range<A>(x.data, y.data, begin, end);
#endif
    portable::activation_forward_range<A>(x.data, y.data, begin, end);
  });
}

/// dx = dy f'(x). x may be null if A.from_output(), otherwise y may be null.
template <class T, int... D, Activation A>
void activation_backward(Cpu& dev, std::integral_constant<Activation, A>, std::type_identity_t<In<T, D...>> x,
                         std::type_identity_t<In<T, D...>> y, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  if (!dx) return;
  dev.parallel_chunks(dx.size(), activation_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return avx2::activation_backward_range<A>(x.data, y.data, dy.data, dx.data, dx.accumulate, begin, end);
#endif
    portable::activation_backward_range<A>(x.data, y.data, dy.data, dx.data, dx.accumulate, begin, end);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
