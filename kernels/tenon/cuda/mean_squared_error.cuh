// Mean squared error over all elements, as cpu/mean_squared_error.hpp.
//   y, target (B, ...)   ->   sums, dy (B, ...) unless null; dy may be y
//   loss_sum = sum of (y - target)^2, weight_sum = elements; correct = count = 0, as there are no decisions
// Strategy  cuda/loss.cuh: one pass. Squares are summed in double.
// Cost      8 bytes per element, 12 with the gradient. One launch up to 8192 elements, else two.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/loss.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

template <class T>
struct SquaredError {
  T factor;  // of the gradient
  __device__ __forceinline__ T operator()(T y, T target, LossPart& part) const {
    const T d = y - target;
    part.loss += static_cast<double>(d) * static_cast<double>(d);
    return factor * d;
  }
};

}  // namespace cuda

/// Computes the sums over the batch and, unless dy is null, the gradient of the mean or of the sum. `sums` is in device
/// memory. The call does not wait.
template <class T, int... D>
void mean_squared_error(Cuda& dev, std::type_identity_t<In<T, D...>> y, const std::type_identity_t<T>* target,
                        Reduction reduction, Out<T, D...> dy, LossSums* sums) {
  const cuda::SquaredError<T> f{
      static_cast<T>(reduction == Reduction::mean ? 2.0 / static_cast<double>(y.size()) : 2.0)};
  cuda::elementwise_loss(dev, "mean_squared_error", y.data, target, dy.data, y.size(), 0, f, sums);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
