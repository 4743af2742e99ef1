// Binary cross-entropy on logits, over all elements, as torch.nn.BCEWithLogitsLoss.
//   logits, target in [0, 1] (B, ...)   ->   sums, dlogits (B, ...) unless null; dlogits may be logits
//   loss = max(x, 0) - x t + log(1 + e^-|x|), which never overflows; weight_sum = count = elements
//   correct counts (x > 0) == (t > 1/2)
// Strategy  the number of elements alone determines the chunks. Sums are in double and are combined in one tree.
// Cost      8 bytes per element, 12 with the gradient; one exponential and one logarithm per element.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/loss_sums.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/math.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace portable {

/// Loss and correct decisions of a range; dx = (sigmoid(x) - target) / divisor.
template <class T>
LossSums binary_cross_entropy_range(const T* x, const T* target, double divisor, T* dx, std::size_t begin,
                                    std::size_t end) {
  LossSums s{0, 0, 0, static_cast<std::int64_t>(end - begin)};
  for (std::size_t i = begin; i < end; ++i) {
    const double v = static_cast<double>(x[i]), t = static_cast<double>(target[i]);
    const double e = math::exp(v > 0 ? -v : v);  // exp(-|x|)
    s.loss_sum += (v > 0 ? v : 0) - v * t + math::log1p(e);
    s.correct += (v > 0) == (t > 0.5);
    if (dx) dx[i] = static_cast<T>(((v > 0 ? 1 : e) / (1 + e) - t) / divisor);
  }
  s.weight_sum = static_cast<double>(s.count);
  return s;
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct BinaryCrossEntropy {
  const float *x, *target;
  __m256 factor;
  float* dx;
  Doubles total;
  std::int64_t correct;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 v = load(x + i, live), t = load(target + i, live), one = splat(1), zero = _mm256_setzero_ps();
    const __m256 positive = _mm256_cmp_ps(v, zero, _CMP_GT_OQ);
    const __m256 e = exp(with_sign_of(magnitude(v), _mm256_set1_ps(-0.0f)));  // exp(-|x|)
    const __m256 u = _mm256_add_ps(one, e), lost = _mm256_sub_ps(e, _mm256_sub_ps(u, one));
    const __m256 rest = _mm256_add_ps(log(u), _mm256_div_ps(lost, u));  // log(1 + e), accurate for small e too
    total.add(only(_mm256_fnmadd_ps(v, t, _mm256_and_ps(positive, v)), live));
    total.add(only(rest, live));
    const __m256 wrong = _mm256_xor_ps(positive, _mm256_cmp_ps(t, splat(0.5), _CMP_GT_OQ));
    correct += 8 - __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(wrong)));
    if (!dx) return;
    const __m256 p = _mm256_div_ps(_mm256_blendv_ps(e, one, positive), u);
    store(dx + i, live, _mm256_mul_ps(_mm256_sub_ps(p, t), factor));
  }
};

TENON_AVX2 inline LossSums binary_cross_entropy_range(const float* x, const float* target, double divisor, float* dx,
                                                      std::size_t begin, std::size_t end) {
  BinaryCrossEntropy step{x, target, splat(1.0 / divisor), dx, {}, 0};
  for_each_vector(begin, end, step);
  const std::int64_t n = static_cast<std::int64_t>(end - begin);
  const std::int64_t spare = (n + lanes - 1) / lanes * lanes - n;  // lanes not live are 0 in both: "correct"
  return {step.total.sum(), static_cast<double>(n), step.correct - spare, n};
}

}  // namespace avx2
#endif

/// Computes the sums over the batch and, unless dlogits is null, the gradient of the mean or of the sum.
template <class T, int... D>
void binary_cross_entropy(Cpu& dev, std::type_identity_t<In<T, D...>> logits, const std::type_identity_t<T>* target,
                          Reduction reduction, Out<T, D...> dlogits, LossSums* sums) {
  const Chunks chunks(logits.size(), 1024);
  const double divisor = reduction == Reduction::mean ? static_cast<double>(logits.size()) : 1;
  LossSums partial[Chunks::max];
  dev.parallel(chunks.count, [&](int chunk, int) {
    const std::size_t begin = chunks.begin(chunk), end = chunks.end(chunk);
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return void(partial[chunk] =
                        avx2::binary_cross_entropy_range(logits.data, target, divisor, dlogits.data, begin, end));
#endif
    partial[chunk] = portable::binary_cross_entropy_range(logits.data, target, divisor, dlogits.data, begin, end);
  });
  *sums = tree_sum(partial, chunks.count);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
