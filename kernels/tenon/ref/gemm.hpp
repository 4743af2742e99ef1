// Matrix product in double.
//   a (m, k), b (k, n), bias (n) or null -> c (m, n)
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void gemm(const double* a, const double* b, const double* bias, int m, int n, int k, double* c) {
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int l = 0; l < k; ++l) sum += a[i * k + l] * b[l * n + j];
      c[i * n + j] = bias ? sum + bias[j] : sum;
    }
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
