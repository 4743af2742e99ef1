// Mean squared error in double, summed in long double.
//   y, target (n) -> mean loss, dy (n)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline double mean_squared_error(const double* y, const double* target, std::size_t n, double* dy) {
  long double loss = 0;
  for (std::size_t i = 0; i < n; ++i) {
    loss += (y[i] - target[i]) * (y[i] - target[i]);
    dy[i] = 2 * (y[i] - target[i]) / static_cast<double>(n);
  }
  return static_cast<double>(loss / n);
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
