// Convolution of one image in double, with and without its epilogue.
//   conv2d                     x (h, w, c), w (o, c / groups, kh, kw), b (o) or null -> z (oh, ow, o)
//   conv2d_backward            x, w, dz -> dx; adds to dw and db
//   conv2d_epilogue            z -> y = order(max_pool(f(z))) and the positions of the maxima, channels-last
//   conv2d_epilogue_backward   z, places, dy in the order of y -> dz
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tenon/core/geometry.hpp"
#include "tenon/ref/activation.hpp"
#include "tenon/ref/max_pool2d.hpp"
#include "tenon/ref/permute.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

/// Calls f(index in x, index in w, index in z) for every product of the sum.
template <class F>
void for_each_product(const ConvDims& d, F&& f) {
  const Window& w = d.window;
  const int cg = d.c / d.groups, og = d.o / d.groups;
  for (int oy = 0; oy < d.oh(); ++oy)
    for (int ox = 0; ox < d.ow(); ++ox)
      for (int o = 0; o < d.o; ++o)
        for (int c = 0; c < cg; ++c)
          for (int ky = 0; ky < w.kh; ++ky)
            for (int kx = 0; kx < w.kw; ++kx) {
              const int iy = oy * w.sh - w.ph + ky * w.dh, ix = ox * w.sw - w.pw + kx * w.dw;
              if (iy < 0 || iy >= d.h || ix < 0 || ix >= d.w) continue;
              f((iy * d.w + ix) * d.c + o / og * cg + c, ((o * cg + c) * w.kh + ky) * w.kw + kx,
                (oy * d.ow() + ox) * d.o + o);
            }
}

inline void conv2d(const ConvDims& d, const double* x, const double* w, const double* b, double* z) {
  for (int i = 0; i < d.oh() * d.ow() * d.o; ++i) z[i] = b ? b[i % d.o] : 0;
  for_each_product(d, [&](int at_x, int at_w, int at_z) { z[at_z] += x[at_x] * w[at_w]; });
}

inline void conv2d_backward(const ConvDims& d, const double* x, const double* w, const double* dz, double* dx,
                            double* dw, double* db) {
  std::fill_n(dx, d.h * d.w * d.c, 0.0);
  for (int i = 0; i < d.oh() * d.ow() * d.o; ++i) db[i % d.o] += dz[i];
  for_each_product(d, [&](int at_x, int at_w, int at_z) {
    dx[at_x] += w[at_w] * dz[at_z];
    dw[at_w] += x[at_x] * dz[at_z];
  });
}

/// The pooling of the epilogue. If nothing is pooled, the window is 1 x 1.
constexpr PoolDims pool_of(const ConvDims& d, const Epilogue& f) {
  return {d.o, d.oh(), d.ow(), f.pooled ? f.pool : Window{}};
}

inline void conv2d_epilogue(const ConvDims& d, const Epilogue& f, const double* z, double* y, std::uint8_t* places) {
  const PoolDims pool = pool_of(d, f);
  std::vector<double> active(z, z + d.oh() * d.ow() * d.o), pooled(pool.oh() * pool.ow() * d.o);
  for (double& v : active) v = activation(f.activation, v);
  max_pool2d(pool, active.data(), pooled.data(), places);
  if (f.channels_first)
    permute(pooled.data(), pool.oh() * pool.ow(), d.o, y);
  else
    std::copy(pooled.begin(), pooled.end(), y);
}

inline void conv2d_epilogue_backward(const ConvDims& d, const Epilogue& f, const double* z, const std::uint8_t* places,
                                     const double* dy, double* dz) {
  const PoolDims pool = pool_of(d, f);
  std::vector<double> last(dy, dy + pool.oh() * pool.ow() * d.o);
  if (f.channels_first) permute(dy, d.o, pool.oh() * pool.ow(), last.data());
  max_pool2d_backward(pool, places, last.data(), dz);
  for (int i = 0; i < d.oh() * d.ow() * d.o; ++i) dz[i] *= activation_derivative(f.activation, z[i]);
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
