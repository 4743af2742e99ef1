// Addition and sum in double.
//   add: a, b (n) -> y (n)     sum: x (n) -> their sum, compensated, so that its error is about one rounding
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void add(const double* a, const double* b, double* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

inline double sum(const double* x, std::size_t n) {
  double s = 0, lost = 0;
  for (std::size_t i = 0; i < n; ++i) {  // Neumaier
    const double t = s + x[i];
    lost += std::abs(s) >= std::abs(x[i]) ? (s - t) + x[i] : (x[i] - t) + s;
    s = t;
  }
  return s + lost;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
