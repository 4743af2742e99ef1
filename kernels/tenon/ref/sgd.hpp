// Stochastic gradient descent in double, one parameter.
//   w, g, velocity -> w, velocity
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/arguments.hpp"

namespace tenon::kernels::ref {

inline void sgd(const SgdStep& s, double& w, double g, double& velocity) {
  double d = s.grad_scale * g + s.weight_decay * w;
  if (s.momentum != 0) {
    velocity = s.momentum * velocity + d;
    d = s.nesterov ? d + s.momentum * velocity : velocity;
  }
  w -= s.learning_rate * d;
}

}  // namespace tenon::kernels::ref
