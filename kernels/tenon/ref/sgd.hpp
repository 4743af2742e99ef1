// Stochastic gradient descent in double, one parameter.
//   options, step state, w, g, velocity -> w, velocity
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/common/sgd.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void sgd(const SgdOptions& o, const StepState& step, double& w, double g, double& velocity) {
  double d = step.gradient_scale * g + o.weight_decay * w;
  if (o.momentum != 0) {
    velocity = o.momentum * velocity + d;
    d = o.nesterov ? d + o.momentum * velocity : velocity;
  }
  w -= step.learning_rate * d;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
