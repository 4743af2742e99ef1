// The options of stochastic gradient descent and the constants of one update, the same for every device.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"
#include "tenon/core/step_state.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// As torch.optim.SGD with dampening 0. `weight_decay` is an L2 penalty in the gradient. The learning rate and the scale of
/// the gradient are read from the StepState.
struct SgdOptions {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;

  bool operator==(const SgdOptions&) const = default;
};

/// The constants of one update:
///   g = grad_scale g + l2 w     u = momentum u + g     w -= learning_rate u
template <class T>
struct SgdFactors {
  T l2, momentum;  // from the options
  bool nesterov;
  T grad_scale = 0, learning_rate = 0;  // from the step

  /// Only the constants that depend on the options alone.
  explicit SgdFactors(const SgdOptions& o)
      : l2(static_cast<T>(o.weight_decay)), momentum(static_cast<T>(o.momentum)), nesterov(o.nesterov) {}

  SgdFactors(const SgdOptions& o, const StepState& step) : SgdFactors(o) { set_step(step); }

  TENON_HD void set_step(const StepState& step) {
    grad_scale = static_cast<T>(step.gradient_scale);
    learning_rate = static_cast<T>(step.learning_rate);
  }
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
