// Adam and AdamW in double, one parameter.
//   w, g, m, v -> w, m, v
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "tenon/core/arguments.hpp"

namespace tenon::kernels::ref {

inline void adam(const AdamStep& s, double& w, double g, double& m, double& v) {
  g *= s.grad_scale;
  if (s.decoupled)
    w -= s.learning_rate * s.weight_decay * w;
  else
    g += s.weight_decay * w;
  m = s.beta1 * m + (1 - s.beta1) * g;
  v = s.beta2 * v + (1 - s.beta2) * g * g;
  const double m_hat = m / (1 - std::pow(s.beta1, static_cast<double>(s.step)));
  const double v_hat = v / (1 - std::pow(s.beta2, static_cast<double>(s.step)));
  w -= s.learning_rate * m_hat / (std::sqrt(v_hat) + s.epsilon);
}

}  // namespace tenon::kernels::ref
