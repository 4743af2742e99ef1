// Adam and AdamW over a range of flat memory, as torch.optim.Adam and torch.optim.AdamW.
//   w, g, m, v (n)   ->   w, m, v (n)
//   g = scale g (+ decay w)     m += (1 - b1) (g - m)     v = b2 v + (1 - b2) g^2
//   w -= lr / c1 m / (sqrt(v) / sqrt(c2) + eps), c = 1 - b^step; AdamW first takes w *= 1 - lr decay
// The constants are computed in double, by our own pow.
// Cost  28 bytes a parameter, one division and one square root for eight: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include "tenon/core/arguments.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

template <class T>
struct AdamFactors {
  T grad_scale, l2, keep;  // g = grad_scale g + l2 w; w *= keep
  T beta2, gain1, gain2;   // gain = 1 - beta
  T step_size, root_scale, epsilon;

  explicit AdamFactors(const AdamStep& s)
      : grad_scale(static_cast<T>(s.grad_scale)),
        l2(static_cast<T>(s.decoupled ? 0 : s.weight_decay)),
        keep(static_cast<T>(s.decoupled ? 1 - s.learning_rate * s.weight_decay : 1)),
        beta2(static_cast<T>(s.beta2)),
        gain1(static_cast<T>(1 - s.beta1)),
        gain2(static_cast<T>(1 - s.beta2)),
        step_size(static_cast<T>(s.learning_rate / correction(s.beta1, s.step))),
        root_scale(static_cast<T>(1 / std::sqrt(correction(s.beta2, s.step)))),
        epsilon(static_cast<T>(s.epsilon)) {}

  static double correction(double beta, std::int64_t step) { return 1 - math::pow(beta, static_cast<double>(step)); }
};

inline constexpr std::size_t adam_grain = 8192;  // elements a task: 128 KiB of floats in four arrays

namespace portable {

template <class T>
void adam_range(const AdamFactors<T>& f, T* w, const T* g, T* m, T* v, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    const T grad = f.grad_scale * g[i] + f.l2 * w[i];
    m[i] += f.gain1 * (grad - m[i]);
    v[i] = f.beta2 * v[i] + f.gain2 * grad * grad;
    w[i] = f.keep * w[i] - f.step_size * m[i] / (std::sqrt(v[i]) * f.root_scale + f.epsilon);
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct Adam {
  __m256 grad_scale, l2, keep, beta2, gain1, gain2, step_size, root_scale, epsilon;
  float* w;
  const float* g;
  float *m, *v;

  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 wi = load(w + i, live), mi = load(m + i, live);
    const __m256 grad = _mm256_fmadd_ps(grad_scale, load(g + i, live), _mm256_mul_ps(l2, wi));
    const __m256 mn = _mm256_fmadd_ps(gain1, _mm256_sub_ps(grad, mi), mi);
    const __m256 vn = _mm256_fmadd_ps(_mm256_mul_ps(gain2, grad), grad, _mm256_mul_ps(beta2, load(v + i, live)));
    const __m256 root = _mm256_fmadd_ps(_mm256_sqrt_ps(vn), root_scale, epsilon);
    store(m + i, live, mn);
    store(v + i, live, vn);
    store(w + i, live, _mm256_fmsub_ps(keep, wi, _mm256_div_ps(_mm256_mul_ps(step_size, mn), root)));
  }
};

TENON_AVX2 inline void adam_range(const AdamFactors<float>& f, float* w, const float* g, float* m, float* v,
                                  std::size_t begin, std::size_t end) {
  Adam step{_mm256_set1_ps(f.grad_scale),
            _mm256_set1_ps(f.l2),
            _mm256_set1_ps(f.keep),
            _mm256_set1_ps(f.beta2),
            _mm256_set1_ps(f.gain1),
            _mm256_set1_ps(f.gain2),
            _mm256_set1_ps(f.step_size),
            _mm256_set1_ps(f.root_scale),
            _mm256_set1_ps(f.epsilon),
            w,
            g,
            m,
            v};
  for_each_vector(begin, end, step);
}

}  // namespace avx2
#endif

/// One step over a range of parameters that share `s`, weight decay included.
template <class T>
void adam_update(Cpu& dev, const AdamStep& s, Span<T> w, std::type_identity_t<Span<const T>> g, Span<T> m, Span<T> v) {
  const AdamFactors<T> f(s);
  dev.parallel_chunks(w.size, adam_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::adam_range(f, w.data, g.data, m.data, v.data, begin, end);
#endif
    portable::adam_range(f, w.data, g.data, m.data, v.data, begin, end);
  });
}

}  // namespace tenon::kernels
