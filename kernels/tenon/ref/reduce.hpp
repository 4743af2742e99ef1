// The sum of squares, summed in long double.
//   x (n) -> sum of x[i]^2
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline double sum_of_squares(const double* x, std::size_t n) {
  long double s = 0;
  for (std::size_t i = 0; i < n; ++i) s += static_cast<long double>(x[i]) * x[i];
  return static_cast<double>(s);
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
