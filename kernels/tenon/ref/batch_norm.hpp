// Batch normalization in double.
//   x (rows, channels) with rows = batch * space; gamma, beta (channels) -> y, mean, variance (biased)
//   batch_norm_backward: x, gamma, dy -> dx, dgamma, dbeta; computes the statistics from x
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void batch_norm(const double* x, int rows, int channels, const double* gamma, const double* beta, double epsilon,
                       double* y, double* mean, double* variance) {
  for (int c = 0; c < channels; ++c) {
    mean[c] = variance[c] = 0;
    for (int r = 0; r < rows; ++r) mean[c] += x[r * channels + c] / rows;
    for (int r = 0; r < rows; ++r) variance[c] += std::pow(x[r * channels + c] - mean[c], 2) / rows;
    for (int r = 0; r < rows; ++r)
      y[r * channels + c] = (x[r * channels + c] - mean[c]) / std::sqrt(variance[c] + epsilon) * gamma[c] + beta[c];
  }
}

inline void batch_norm_backward(const double* x, int rows, int channels, const double* gamma, double epsilon,
                                const double* dy, double* dx, double* dgamma, double* dbeta) {
  for (int c = 0; c < channels; ++c) {
    double mean = 0, variance = 0;
    for (int r = 0; r < rows; ++r) mean += x[r * channels + c] / rows;
    for (int r = 0; r < rows; ++r) variance += std::pow(x[r * channels + c] - mean, 2) / rows;
    const double rstd = 1 / std::sqrt(variance + epsilon);
    dgamma[c] = dbeta[c] = 0;
    for (int r = 0; r < rows; ++r) {
      dgamma[c] += dy[r * channels + c] * (x[r * channels + c] - mean) * rstd;
      dbeta[c] += dy[r * channels + c];
    }
    for (int r = 0; r < rows; ++r) {
      const double hat = (x[r * channels + c] - mean) * rstd;
      dx[r * channels + c] = gamma[c] * rstd * (dy[r * channels + c] - dbeta[c] / rows - hat * dgamma[c] / rows);
    }
  }
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
