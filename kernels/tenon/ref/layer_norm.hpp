// Layer normalization in double.
//   x (rows, n), gamma, beta (n) -> y
//   layer_norm_backward: x, gamma, dy -> dx, dgamma, dbeta; computes the statistics from x
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void layer_norm(const double* x, int rows, int n, const double* gamma, const double* beta, double epsilon,
                       double* y) {
  for (int r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (int i = 0; i < n; ++i) mean += x[r * n + i] / n;
    for (int i = 0; i < n; ++i) variance += std::pow(x[r * n + i] - mean, 2) / n;
    for (int i = 0; i < n; ++i)
      y[r * n + i] = (x[r * n + i] - mean) / std::sqrt(variance + epsilon) * gamma[i] + beta[i];
  }
}

inline void layer_norm_backward(const double* x, int rows, int n, const double* gamma, double epsilon, const double* dy,
                                double* dx, double* dgamma, double* dbeta) {
  for (int i = 0; i < n; ++i) dgamma[i] = dbeta[i] = 0;
  for (int r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (int i = 0; i < n; ++i) mean += x[r * n + i] / n;
    for (int i = 0; i < n; ++i) variance += std::pow(x[r * n + i] - mean, 2) / n;
    const double rstd = 1 / std::sqrt(variance + epsilon);
    double s = 0, q = 0;
    for (int i = 0; i < n; ++i) {
      const double hat = (x[r * n + i] - mean) * rstd;
      s += dy[r * n + i] * gamma[i] / n;
      q += dy[r * n + i] * gamma[i] * hat / n;
      dgamma[i] += dy[r * n + i] * hat;
      dbeta[i] += dy[r * n + i];
    }
    for (int i = 0; i < n; ++i) {
      const double hat = (x[r * n + i] - mean) * rstd;
      dx[r * n + i] = rstd * (dy[r * n + i] * gamma[i] - s - hat * q);
    }
  }
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
