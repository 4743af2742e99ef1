// Binary cross-entropy on logits, over all elements, as cpu/binary_cross_entropy.hpp.
//   logits, target in [0, 1] (B, ...)   ->   sums, dlogits (B, ...) unless null; dlogits may be logits
//   loss = max(x, 0) - x t + log(1 + e^-|x|), which never overflows; weight_sum = count = elements
//   correct counts (x > 0) == (t > 1/2)
// Strategy  cuda/loss.cuh: one pass. The loss of an element is computed in T, the sum in double.
// Cost      8 bytes per element, 12 with the gradient; one exponential and one logarithm per element. One launch up to
//           8192 elements, else two.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/activation_function.cuh"
#include "tenon/cuda/loss.cuh"
#include "tenon/cuda/rounding.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

template <class T>
struct BinaryCrossEntropyOfLogit {
  T factor;  // of the gradient
  __device__ __forceinline__ T operator()(T x, T target, LossPart& part) const {
    const bool positive = x > T(0);
    const T e = exp_of(positive ? -x : x);  // exp(-|x|)
    const T linear = fma_of(-x, target, positive ? x : T(0));
    part.loss += static_cast<double>(linear + log1p_of(e));
    part.correct += positive == (target > T(0.5));
    return ((positive ? T(1) : e) / (T(1) + e) - target) * factor;
  }
};

}  // namespace cuda

/// Computes the sums over the batch and, unless dlogits is null, the gradient of the mean or of the sum. `sums` is in
/// device memory. The call does not wait.
template <class T, int... D>
void binary_cross_entropy(Cuda& dev, std::type_identity_t<In<T, D...>> logits, const std::type_identity_t<T>* target,
                          Reduction reduction, Out<T, D...> dlogits, LossSums* sums) {
  const std::size_t n = logits.size();
  const cuda::BinaryCrossEntropyOfLogit<T> f{
      static_cast<T>(reduction == Reduction::mean ? 1.0 / static_cast<double>(n) : 1.0)};
  cuda::elementwise_loss(dev, "binary_cross_entropy", logits.data, target, dlogits.data, n, static_cast<long long>(n),
                         f, sums);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
