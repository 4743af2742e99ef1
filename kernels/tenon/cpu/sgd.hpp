// Stochastic gradient descent over a range of flat memory, as torch.optim.SGD with dampening 0.
//   w, g, velocity (n)   ->   w, velocity (n)       velocity may be empty if momentum is 0
//   g = scale g + decay w     u = momentum u + g     w -= lr u, or lr (g + momentum u) with Nesterov
// u is stored through math::flush_denormal. lr and scale are read from the StepState. If it is stopped, nothing is written.
// Cost  12 bytes per parameter, 20 with momentum: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/common/sgd.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr std::size_t sgd_grain = 16384;  // elements per task

namespace portable {

template <class T>
void sgd_range(const SgdFactors<T>& f, T* w, const T* g, T* u, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    T d = f.grad_scale * g[i] + f.l2 * w[i];
    if (u) {
      u[i] = math::flush_denormal(f.momentum * u[i] + d);
      d = f.nesterov ? d + f.momentum * u[i] : u[i];
    }
    w[i] -= f.learning_rate * d;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct Sgd {
  __m256 grad_scale, l2, momentum, learning_rate;
  bool nesterov;
  float* w;
  const float* g;
  float* u;

  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 wi = load(w + i, live);
    __m256 d = _mm256_fmadd_ps(grad_scale, load(g + i, live), _mm256_mul_ps(l2, wi));
    if (u) {
      const __m256 un = flush_denormals(_mm256_fmadd_ps(momentum, load(u + i, live), d));
      store(u + i, live, un);
      d = nesterov ? _mm256_fmadd_ps(momentum, un, d) : un;
    }
    store(w + i, live, _mm256_fnmadd_ps(learning_rate, d, wi));
  }
};

TENON_AVX2 inline void sgd_range(const SgdFactors<float>& f, float* w, const float* g, float* u, std::size_t begin,
                                 std::size_t end) {
  Sgd step{_mm256_set1_ps(f.grad_scale),
           _mm256_set1_ps(f.l2),
           _mm256_set1_ps(f.momentum),
           _mm256_set1_ps(f.learning_rate),
           f.nesterov,
           w,
           g,
           u};
  for_each_vector(begin, end, step);
}

}  // namespace avx2
#endif

/// One update of a range of parameters that share the options. w, g and, with momentum, velocity have the same size.
template <class T>
void sgd_update(Cpu& dev, const SgdOptions& options, const StepState* step, Span<T> w,
                std::type_identity_t<Span<const T>> g, Span<T> velocity) {
  if (step->stopped != 0) return;
  const SgdFactors<T> f(options, *step);
  T* const u = options.momentum != 0 ? velocity.data : nullptr;
  dev.parallel_chunks(w.size, sgd_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::sgd_range(f, w.data, g.data, u, begin, end);
#endif
    portable::sgd_range(f, w.data, g.data, u, begin, end);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
