// MeanSquaredError: the mean over all outputs of (y - target)^2, as torch.nn.MSELoss.
//   outputs (B, C), targets (B, C)   ->   sums and the gradient (B, C); no accuracy, because it makes no decisions
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/mean_squared_error.hpp"
#include "tenon/losses/loss.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// T is the model's type of values.
template <class T = float>
struct MeanSquaredError {
  using Target = T;

  template <int Outputs>
  static constexpr int targets_per_sample() {
    return Outputs;
  }

  void operator()(auto& dev, const auto& at) const {
    mean_squared_error(dev, at.outputs, at.targets, at.reduction, at.gradient, at.sums);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
