// Binary cross-entropy on logits, the mean over all elements, as cpu/binary_cross_entropy.hpp.
//   logits, target in [0, 1] (B, ...)   ->   sums, dlogits (B, ...) unless null; dlogits may be logits
//   loss = max(x, 0) - x t + log(1 + e^-|x|), which overflows nowhere; weight_sum = count = elements
//   correct counts (x > 0) == (t > 1/2)
// Strategy  cuda/loss.cuh: one visit, an element's loss in its own type, their sum in double.
// Cost      8 bytes an element, 12 with the gradient; an exponential and a logarithm each. One launch up to 8192
//           elements, then two.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/activate.cuh"
#include "tenon/cuda/loss.cuh"
#include "tenon/cuda/rounding.cuh"

namespace tenon::kernels {

namespace cuda {

template <class T>
struct BinaryCrossEntropyOfLogit {
  T factor;  // 1 / elements
  __device__ __forceinline__ T operator()(T x, T target, LossPart& part) const {
    const bool positive = x > T(0);
    const T e = exp_of(positive ? -x : x);  // of -|x|
    const T linear = fma_of(-x, target, positive ? x : T(0));
    part.loss += static_cast<double>(linear + log1p_of(e));
    part.correct += positive == (target > T(0.5));
    return ((positive ? T(1) : e) / (T(1) + e) - target) * factor;
  }
};

}  // namespace cuda

template <class T, int... D>
void binary_cross_entropy(Cuda& dev, std::type_identity_t<In<T, D...>> logits, const std::type_identity_t<T>* target,
                          Out<T, D...> dlogits, LossSums* sums) {
  const std::size_t n = logits.size();
  const cuda::BinaryCrossEntropyOfLogit<T> f{static_cast<T>(1.0 / static_cast<double>(n))};
  cuda::elementwise_loss(dev, "binary_cross_entropy", logits.data, target, dlogits.data, n, static_cast<long long>(n),
                         f, sums);
}

}  // namespace tenon::kernels
