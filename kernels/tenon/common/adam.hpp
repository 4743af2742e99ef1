// Adam's options and the constants of one update, the same for every device.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/config.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Adam as torch.optim.Adam, or AdamW if `decoupled`. The learning rate, the scale of the gradient and the number of
/// the step are read from the StepState.
struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // AdamW: the decay shrinks the parameter itself and is not part of the gradient

  bool operator==(const AdamOptions&) const = default;
};

/// The update that `step` belongs to, counted from 1.
TENON_HD constexpr std::uint64_t adam_time(const StepState& step) { return std::uint64_t{step.step} + 1; }

/// The constants of one update:
///   g = grad_scale g + l2 w     m += gain1 (g - m)     v = beta2 v + gain2 g^2
///   w = keep w - step_size (m / (sqrt(v) root_scale + epsilon))
template <class T>
struct AdamFactors {
  T l2, beta2, gain1, gain2, epsilon;                         // from the options; gain = 1 - beta
  T grad_scale = 0, keep = 1, step_size = 0, root_scale = 0;  // from the step

  /// Only the constants that depend on the options alone.
  explicit AdamFactors(const AdamOptions& o)
      : l2(static_cast<T>(o.decoupled ? 0 : o.weight_decay)),
        beta2(static_cast<T>(o.beta2)),
        gain1(static_cast<T>(1 - o.beta1)),
        gain2(static_cast<T>(1 - o.beta2)),
        epsilon(static_cast<T>(o.epsilon)) {}

  AdamFactors(const AdamOptions& o, const StepState& step) : AdamFactors(o) {
    const double t = static_cast<double>(adam_time(step));
    grad_scale = static_cast<T>(step.gradient_scale);
    keep = static_cast<T>(o.decoupled ? 1 - step.learning_rate * o.weight_decay : 1);
    step_size = static_cast<T>(step.learning_rate / (1 - math::pow(o.beta1, t)));
    root_scale = static_cast<T>(1 / math::sqrt(1 - math::pow(o.beta2, t)));
  }
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
