// Binary cross-entropy on logits, by its definition. It computes in long double, so that 1 - p keeps its digits.
//   logits, target (n) -> mean loss, dlogits (n)
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline double binary_cross_entropy(const double* logits, const double* target, std::size_t n, double* dlogits) {
  long double loss = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const long double x = logits[i], t = target[i];
    const long double minus_log_p = x > -10000 ? std::log1p(std::exp(-x)) : -x;
    const long double minus_log_q = x < 10000 ? std::log1p(std::exp(x)) : x;
    loss += t * minus_log_p + (1 - t) * minus_log_q;
    dlogits[i] = static_cast<double>((1 / (1 + std::exp(-x)) - t) / static_cast<long double>(n));
  }
  return static_cast<double>(loss / static_cast<long double>(n));
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
