// Softmax cross-entropy in double, by its definition.
//   logits (rows, classes), labels (rows), class_weights (classes) or null -> mean loss, dlogits (rows, classes)
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline double cross_entropy(const double* logits, const std::int32_t* labels, int rows, int classes, double smoothing,
                            const double* class_weights, double* dlogits) {
  const auto weight = [&](int c) { return class_weights ? class_weights[c] : 1.0; };
  double divisor = 0, loss = 0;
  for (int b = 0; b < rows; ++b) divisor += weight(labels[b]);
  for (int b = 0; b < rows; ++b) {
    const double* const x = logits + b * classes;
    double greatest = x[0], total = 0;
    for (int c = 0; c < classes; ++c) greatest = x[c] > greatest ? x[c] : greatest;
    for (int c = 0; c < classes; ++c) total += std::exp(x[c] - greatest);
    // The loss is the sum of target[c] * -log p[c] with target = w ((1 - smoothing) onehot + smoothing / classes).
    std::vector<double> target(static_cast<std::size_t>(classes));
    double all = 0;
    for (int c = 0; c < classes; ++c) {
      target[c] = weight(c) * smoothing / classes + (c == labels[b] ? weight(c) * (1 - smoothing) : 0);
      all += target[c];
      loss += target[c] * (std::log(total) - (x[c] - greatest)) / divisor;
    }
    for (int c = 0; c < classes; ++c)
      dlogits[b * classes + c] = (all * std::exp(x[c] - greatest) / total - target[c]) / divisor;
  }
  return loss;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
