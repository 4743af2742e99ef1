// Mean squared error over all elements, as cpu/mean_squared_error.hpp.
//   y, target (B, ...)   ->   sums, dy (B, ...) unless null; dy may be y
//   loss_sum = sum of (y - target)^2, weight_sum = elements; count = B, and correct stays 0.
// Strategy  cuda/loss.cuh: one visit, squares summed in double.
// Cost      8 bytes an element, 12 with the gradient; one launch up to 8192 elements, then two.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/loss.cuh"

namespace tenon::kernels {

namespace cuda {

template <class T>
struct SquaredError {
  T factor;  // 2 / elements
  __device__ __forceinline__ T operator()(T y, T target, LossPart& part) const {
    const T d = y - target;
    part.loss += static_cast<double>(d) * static_cast<double>(d);
    return factor * d;
  }
};

}  // namespace cuda

template <class T, int... D>
void mean_squared_error(Cuda& dev, std::type_identity_t<In<T, D...>> y, const std::type_identity_t<T>* target,
                        Out<T, D...> dy, LossSums* sums) {
  const cuda::SquaredError<T> f{static_cast<T>(2.0 / static_cast<double>(y.size()))};
  cuda::elementwise_loss(dev, "mean_squared_error", y.data, target, dy.data, y.size(), y.batch, f, sums);
}

}  // namespace tenon::kernels
