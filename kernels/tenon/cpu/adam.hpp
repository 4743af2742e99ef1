// Adam and AdamW over a range of flat memory, as torch.optim.Adam and torch.optim.AdamW.
//   w, g, m, v (n)   ->   w, m, v (n)
//   g = scale g (+ decay w)     m += (1 - b1) (g - m)     v = b2 v + (1 - b2) g^2
//   w -= lr / c1 (m / (sqrt(v) / sqrt(c2) + eps)), c = 1 - b^t; AdamW first computes w *= 1 - lr decay
// m and v are stored through math::flush_denormal. m is divided before it is multiplied by the rate, so a momentum that
// decays to 0 produces no denormal intermediate values. lr, scale and t = step + 1 are read from the StepState. If it is
// stopped, nothing is written. The constants are computed in double, with math::pow.
// Cost  28 bytes per parameter, one division and one square root per eight parameters: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/common/adam.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr std::size_t adam_grain = 8192;  // elements per task: 128 KiB of floats in four arrays

namespace portable {

template <class T>
void adam_range(const AdamFactors<T>& f, T* w, const T* g, T* m, T* v, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    const T grad = f.grad_scale * g[i] + f.l2 * w[i];
    m[i] = math::flush_denormal(m[i] + f.gain1 * (grad - m[i]));
    v[i] = math::flush_denormal(f.beta2 * v[i] + f.gain2 * grad * grad);
    w[i] = f.keep * w[i] - f.step_size * (m[i] / (math::sqrt(v[i]) * f.root_scale + f.epsilon));
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct AdamVectors {
  __m256 grad_scale, l2, keep, beta2, gain1, gain2, step_size, root_scale, epsilon;
  float* w;
  const float* g;
  float *m, *v;

  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 wi = load(w + i, live), mi = load(m + i, live);
    const __m256 grad = _mm256_fmadd_ps(grad_scale, load(g + i, live), _mm256_mul_ps(l2, wi));
    const __m256 mn = flush_denormals(_mm256_fmadd_ps(gain1, _mm256_sub_ps(grad, mi), mi));
    const __m256 vn =
        flush_denormals(_mm256_fmadd_ps(_mm256_mul_ps(gain2, grad), grad, _mm256_mul_ps(beta2, load(v + i, live))));
    const __m256 root = _mm256_fmadd_ps(_mm256_sqrt_ps(vn), root_scale, epsilon);
    store(m + i, live, mn);
    store(v + i, live, vn);
    store(w + i, live, _mm256_fnmadd_ps(step_size, _mm256_div_ps(mn, root), _mm256_mul_ps(keep, wi)));
  }
};

TENON_AVX2 inline void adam_range(const AdamFactors<float>& f, float* w, const float* g, float* m, float* v,
                                  std::size_t begin, std::size_t end) {
  AdamVectors step{_mm256_set1_ps(f.grad_scale),
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

/// One update of a range of parameters that share the options. w, g, m and v have the same size.
template <class T>
void adam_update(Cpu& dev, const AdamOptions& options, const StepState* step, Span<T> w,
                 std::type_identity_t<Span<const T>> g, Span<T> m, Span<T> v) {
  if (step->stopped != 0) return;
  const AdamFactors<T> f(options, *step);
  dev.parallel_chunks(w.size, adam_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::adam_range(f, w.data, g.data, m.data, v.data, begin, end);
#endif
    portable::adam_range(f, w.data, g.data, m.data, v.data, begin, end);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
