// Linear in double, without its activation.
//   linear            x (batch, in), w (out, in), b (out) or null -> z (batch, out)
//   linear_backward   x, w, dz -> dx, dw, db
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline void linear(const double* x, const double* w, const double* b, int batch, int in, int out, double* z) {
  for (int n = 0; n < batch; ++n)
    for (int o = 0; o < out; ++o) {
      z[n * out + o] = b ? b[o] : 0;
      for (int i = 0; i < in; ++i) z[n * out + o] += x[n * in + i] * w[o * in + i];
    }
}

inline void linear_backward(const double* x, const double* w, const double* dz, int batch, int in, int out, double* dx,
                            double* dw, double* db) {
  std::fill_n(dx, batch * in, 0.0);
  std::fill_n(dw, out * in, 0.0);
  std::fill_n(db, out, 0.0);
  for (int n = 0; n < batch; ++n)
    for (int o = 0; o < out; ++o) {
      const double g = dz[n * out + o];
      db[o] += g;
      for (int i = 0; i < in; ++i) {
        dx[n * in + i] += g * w[o * in + i];
        dw[o * in + i] += g * x[n * in + i];
      }
    }
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
