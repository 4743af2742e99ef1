// Softmax cross-entropy: loss, gradient and accuracy, computed row by row, as torch.nn.CrossEntropyLoss.
//   logits (B, C), labels (B) in [0, C)   ->   sums, dlogits (B, C) unless null; dlogits may be logits
//   row loss = (1 - s) w[y] (-log p[y]) + s / C sum of w[c] (-log p[c])
// The mean divides by the sum of w[y]. If the sum is 0, the gradient of the mean is 0.
// Strategy  a task owns a chunk of rows. The sums of a chunk are in double. They are combined in one tree whose shape
//           depends on the batch size only. The largest logit is subtracted before exp, so nothing overflows and the sum is
//           at least 1.
// Cost      4 B (2 C + 1) bytes, B C exponentials.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "tenon/common/cross_entropy.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/loss_sums.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/math.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// The data that all rows of a batch share.
template <class T>
struct CrossEntropyRows {
  const T* logits;
  const std::int32_t* labels;
  const float* class_weights;  // null: all 1
  T* dlogits;                  // null: not computed
  int classes;
  double smoothing;
  double all_weights;  // sum of the class weights
  double grad_scale;   // 1 / the divisor of the mean; 1 for the gradient of the sum
};

/// The loss of a row and the factors of its gradient, from its largest logit and the sum of the exponentials.
template <class T>
struct CrossEntropyRow {
  double loss, weight;
  T factor, each, hit;  // dlogits[c] = factor exp(x[c] - greatest) - each w[c], minus hit at the label
};

template <class T>
CrossEntropyRow<T> cross_entropy_row(const CrossEntropyRows<T>& r, const T* x, int label, T greatest, T total) {
  const double log_total = math::log(static_cast<double>(total));
  const double weight = r.class_weights ? static_cast<double>(r.class_weights[label]) : 1;
  double loss = (1 - r.smoothing) * weight * (log_total - static_cast<double>(x[label] - greatest));
  if (r.smoothing != 0) {
    double all = 0;
    for (int c = 0; c < r.classes; ++c) {
      const double minus_log_p = log_total - static_cast<double>(x[c] - greatest);
      all += r.class_weights ? static_cast<double>(r.class_weights[c]) * minus_log_p : minus_log_p;
    }
    loss += r.smoothing / r.classes * all;
  }
  const double each = r.smoothing / r.classes * r.grad_scale, hit = (1 - r.smoothing) * weight * r.grad_scale;
  return {loss, weight, static_cast<T>((hit + each * r.all_weights) / static_cast<double>(total)), static_cast<T>(each),
          static_cast<T>(hit)};
}

namespace portable {

template <class T>
LossSums cross_entropy_rows(const CrossEntropyRows<T>& r, std::size_t begin, std::size_t end) {
  LossSums sums;
  for (std::size_t b = begin; b < end; ++b) {
    const T* const x = r.logits + b * static_cast<std::size_t>(r.classes);
    T* const dx = r.dlogits ? r.dlogits + b * static_cast<std::size_t>(r.classes) : nullptr;
    const int label = r.labels[b];
    int top = 0;
    for (int c = 1; c < r.classes; ++c)
      if (x[c] > x[top]) top = c;
    const T greatest = x[top];
    T total = 0;
    for (int c = 0; c < r.classes; ++c) total += math::exp(x[c] - greatest);
    const CrossEntropyRow<T> row = cross_entropy_row(r, x, label, greatest, total);
    sums = sums + LossSums{row.loss, row.weight, row.loss == row.loss && top == label, 1};
    if (!dx) continue;
    for (int c = 0; c < r.classes; ++c)
      dx[c] = row.factor * math::exp(x[c] - greatest) -
              row.each * (r.class_weights ? static_cast<T>(r.class_weights[c]) : T(1));
    dx[label] -= row.hit;
  }
  return sums;
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

/// The largest of n >= 1 values and its first position, or -1 if no value equals it (NaN).
struct Greatest {
  float value;
  int place;
};
TENON_AVX2 inline Greatest greatest_of(const float* x, int n) {
  const __m256 min = splat(-math::detail::infinity);
  __m256 max = min;
  int i = 0;
  for (; i + lanes <= n; i += lanes) max = _mm256_max_ps(max, _mm256_loadu_ps(x + i));
  const MaskedVector tail{first(n - i)};
  if (i < n) max = _mm256_max_ps(max, _mm256_blendv_ps(min, load(x + i, tail), _mm256_castsi256_ps(tail.live)));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps(max, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  const float value = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  const __m256 same = _mm256_set1_ps(value);
  for (i = 0; i + lanes <= n; i += lanes)
    if (const int at = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), same, _CMP_EQ_OQ)))
      return {value, i + __builtin_ctz(at)};
  for (; i < n; ++i)
    if (x[i] == value) return {value, i};
  return {value, -1};
}

struct ExpSum {
  const float* x;
  float* e;  // null: not stored
  __m256 greatest, total;
  TENON_AVX2_INLINE void operator()(std::size_t i, FullVector live) {
    const __m256 v = exp(_mm256_sub_ps(load(x + i, live), greatest));
    if (e) store(e + i, live, v);
    total = _mm256_add_ps(total, v);
  }
  TENON_AVX2_INLINE void operator()(std::size_t i, MaskedVector live) {
    const __m256 v = _mm256_and_ps(exp(_mm256_sub_ps(load(x + i, live), greatest)), _mm256_castsi256_ps(live.live));
    if (e) store(e + i, live, v);
    total = _mm256_add_ps(total, v);
  }
};

struct CrossEntropyGradient {
  const float* class_weights;
  float* dx;  // holds the exponentials
  __m256 factor, each;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 less = class_weights ? _mm256_mul_ps(each, load(class_weights + i, live)) : each;
    store(dx + i, live, _mm256_fmsub_ps(factor, load(dx + i, live), less));
  }
};

TENON_AVX2 inline LossSums cross_entropy_rows(const CrossEntropyRows<float>& r, std::size_t begin, std::size_t end) {
  LossSums sums;
  const std::size_t classes = static_cast<std::size_t>(r.classes);
  for (std::size_t b = begin; b < end; ++b) {
    const float* const x = r.logits + b * classes;
    float* const dx = r.dlogits ? r.dlogits + b * classes : nullptr;
    const int label = r.labels[b];
    const Greatest top = greatest_of(x, r.classes);
    const bool in_place = dx == x;  // x is read until the loss of the row is known
    ExpSum exps{x, in_place ? nullptr : dx, _mm256_set1_ps(top.value), _mm256_setzero_ps()};
    for_each_vector(0, classes, exps);
    const CrossEntropyRow<float> row = cross_entropy_row(r, x, label, top.value, sum(exps.total));
    sums = sums + LossSums{row.loss, row.weight, row.loss == row.loss && top.place == label, 1};
    if (!dx) continue;
    if (in_place) {
      exps.e = dx;
      for_each_vector(0, classes, exps);
    }
    CrossEntropyGradient gradient{r.class_weights, dx, _mm256_set1_ps(row.factor), _mm256_set1_ps(row.each)};
    for_each_vector(0, classes, gradient);
    dx[label] -= row.hit;
  }
  return sums;
}

}  // namespace avx2
#endif

/// Throws Error unless every label is in [0, classes).
inline void check_labels(Cpu&, const std::int32_t* labels, int batch, int classes) {
  for (int b = 0; b < batch; ++b)
    if (labels[b] < 0 || labels[b] >= classes)
      throw Error("CrossEntropy",
                  "expected labels from 0 to " + std::to_string(classes - 1) + ", got " + std::to_string(labels[b]));
}

/// Computes the sums over the batch and, unless dlogits is null, the gradient of the mean or of the sum.
template <class T, int C>
void cross_entropy(Cpu& dev, std::type_identity_t<In<T, Batch, C>> logits, const std::int32_t* labels,
                   const CrossEntropyOptions& options, Reduction reduction, Out<T, Batch, C> dlogits, LossSums* sums) {
  CrossEntropyRows<T> r{logits.data,
                        labels,
                        options.class_weights,
                        dlogits.data,
                        C,
                        static_cast<double>(options.label_smoothing),
                        static_cast<double>(C),
                        1.0 / logits.batch};
  if (r.class_weights) {
    r.all_weights = 0;
    for (int c = 0; c < C; ++c) r.all_weights += static_cast<double>(r.class_weights[c]);
    double divisor = 0;
    for (int b = 0; b < logits.batch; ++b) divisor += static_cast<double>(r.class_weights[labels[b]]);
    r.grad_scale = divisor == 0 ? 0 : 1 / divisor;
  }
  if (reduction == Reduction::sum) r.grad_scale = 1;
  const Chunks chunks(static_cast<std::size_t>(logits.batch), 32);
  LossSums partial[Chunks::max];
  dev.parallel(chunks.count, [&](int chunk, int) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return void(partial[chunk] = avx2::cross_entropy_rows(r, chunks.begin(chunk), chunks.end(chunk)));
#endif
    partial[chunk] = portable::cross_entropy_rows(r, chunks.begin(chunk), chunks.end(chunk));
  });
  *sums = tree_sum(partial, chunks.count);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
