// Adam and AdamW in double, one parameter.
//   options, step state, w, g, m, v -> w, m, v
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "tenon/common/adam.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void adam(const AdamOptions& o, const StepState& step, double& w, double g, double& m, double& v) {
  const double t = static_cast<double>(adam_time(step));
  g *= step.gradient_scale;
  if (o.decoupled)
    w -= step.learning_rate * o.weight_decay * w;
  else
    g += o.weight_decay * w;
  m = o.beta1 * m + (1 - o.beta1) * g;
  v = o.beta2 * v + (1 - o.beta2) * g * g;
  const double m_hat = m / (1 - std::pow(o.beta1, t));
  const double v_hat = v / (1 - std::pow(o.beta2, t));
  w -= step.learning_rate * m_hat / (std::sqrt(v_hat) + o.epsilon);
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
