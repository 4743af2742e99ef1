// MeanSquaredError: the mean over all outputs of (y - target)^2, as torch.nn.MSELoss.
//   outputs (B, C), targets (B, C)   ->   the mean loss and its gradient (B, C)
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/mean_squared_error.hpp"
#include "tenon/losses/loss.hpp"

namespace tenon {

/// T is the model's type of values.
template <class T = float>
struct MeanSquaredError {
  using Target = T;

  template <int Outputs>
  static constexpr int targets_a_sample() {
    return Outputs;
  }

  template <int C>
  LossSums operator()(auto& dev, In<T, Batch, C> outputs, const T* targets, Out<T, Batch, C> gradient) const {
    LossSums sums;
    mean_squared_error(dev, outputs, targets, gradient, &sums);
    return sums;
  }
};

}  // namespace tenon
