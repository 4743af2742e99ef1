// Mean squared error over all elements, as torch.nn.MSELoss.
//   y, target (B, ...)   ->   sums, dy (B, ...) unless null; dy may be y
//   loss_sum = sum of (y - target)^2, weight_sum = elements; correct = count = 0, because there are no decisions
// Strategy  the number of elements alone determines the chunks. Sums are in double and are combined in one tree.
// Cost      8 bytes per element, 12 with the gradient.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/loss_sums.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace portable {

/// The sum of (y - target)^2; dy = factor (y - target).
template <class T>
double squared_error_range(const T* y, const T* target, T factor, T* dy, std::size_t begin, std::size_t end) {
  double total = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const T d = y[i] - target[i];
    if (dy) dy[i] = factor * d;
    total += static_cast<double>(d) * static_cast<double>(d);
  }
  return total;
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct SquaredError {
  const float *y, *target;
  __m256 factor;
  float* dy;
  Doubles total;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 d = _mm256_sub_ps(load(y + i, live), load(target + i, live));  // 0 where not live
    if (dy) store(dy + i, live, _mm256_mul_ps(factor, d));
    total.add_product(d, d);
  }
};

TENON_AVX2 inline double squared_error_range(const float* y, const float* target, float factor, float* dy,
                                             std::size_t begin, std::size_t end) {
  SquaredError step{y, target, _mm256_set1_ps(factor), dy, {}};
  for_each_vector(begin, end, step);
  return step.total.sum();
}

}  // namespace avx2
#endif

/// Computes the sums over the batch and, unless dy is null, the gradient of the mean or of the sum.
template <class T, int... D>
void mean_squared_error(Cpu& dev, std::type_identity_t<In<T, D...>> y, const std::type_identity_t<T>* target,
                        Reduction reduction, Out<T, D...> dy, LossSums* sums) {
  const Chunks chunks(y.size());
  const T factor = static_cast<T>(reduction == Reduction::mean ? 2.0 / static_cast<double>(y.size()) : 2.0);
  double partial[Chunks::max];
  dev.parallel(chunks.count, [&](int chunk, int) {
    const std::size_t begin = chunks.begin(chunk), end = chunks.end(chunk);
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return void(partial[chunk] = avx2::squared_error_range(y.data, target, factor, dy.data, begin, end));
#endif
    partial[chunk] = portable::squared_error_range(y.data, target, factor, dy.data, begin, end);
  });
  *sums = {tree_sum(partial, chunks.count), static_cast<double>(y.size()), 0, 0};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
