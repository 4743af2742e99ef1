// The initial values of parameters: Kaiming, Xavier, truncated normal, constant, and PyTorch's defaults.
// Every element is a function of (seed, node, slot, element) and is computed on the host, so all devices start with the
// same values.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/math.hpp"
#include "tenon/core/random.hpp"
#include "tenon/layers/layer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace detail {

// Box-Muller transform of two words. u1 is in (0, 1], so its logarithm is finite.
inline double normal(std::uint32_t w1, std::uint32_t w2) {
  const double u1 = (w1 + 1.0) * 0x1p-32, u2 = w2 * 0x1p-32;
  return math::sqrt(-2.0 * math::log(u1)) * math::cos(6.283185307179586 * u2);
}

// Redraws until the value is within two standard deviations. 4.6 % of the draws are outside.
inline double truncated_normal(const random::Key& key, std::uint64_t element) {
  for (std::uint32_t attempt = 0;; ++attempt) {
    const random::Four r = key.words(element, attempt);
    const double a = normal(r.v[0], r.v[1]), b = normal(r.v[2], r.v[3]);
    if (a >= -2 && a <= 2) return a;
    if (b >= -2 && b <= 2) return b;
  }
}

/// Fills values[0, n) with the distribution `i`. `slot` is the index of the parameter in its layer.
template <class T>
void initialize(T* values, long long n, const Initial& i, Seed seed, int node, int slot) {
  using Kind = Initial::Kind;
  const random::Key key{seed.value, random::Use::init, static_cast<std::uint32_t>(node),
                        static_cast<std::uint32_t>(slot)};
  const double in = i.fan_in, both = static_cast<double>(i.fan_in) + i.fan_out,
               given = static_cast<double>(i.num) / i.den;
  double scale = 0;  // bound of a uniform distribution, standard deviation of a normal one
  bool uniform = true;
  switch (i.kind) {
    case Kind::constant:
      for (long long k = 0; k < n; ++k) values[k] = static_cast<T>(given);
      return;
    case Kind::torch_default: scale = 1 / math::sqrt(in); break;  // kaiming_uniform(a = sqrt 5); also for biases
    case Kind::kaiming_uniform: scale = math::sqrt(6 / in); break;
    case Kind::xavier_uniform: scale = math::sqrt(6 / both); break;
    case Kind::kaiming_normal: scale = math::sqrt(2 / in), uniform = false; break;
    case Kind::xavier_normal: scale = math::sqrt(2 / both), uniform = false; break;
    case Kind::truncated_normal:
      for (long long k = 0; k < n; ++k)
        values[k] = static_cast<T>(given * truncated_normal(key, static_cast<std::uint64_t>(k)));
      return;
  }
  for (long long k = 0; k < n; ++k) {
    const random::Four r = key.words(static_cast<std::uint64_t>(k / 2), 0);
    const int at = static_cast<int>(k % 2) * 2;
    const double draw = uniform ? 2.0 * random::unit(r.v[at]) - 1.0 : normal(r.v[at], r.v[at + 1]);
    values[k] = static_cast<T>(scale * draw);
  }
}

}  // namespace detail

}  // namespace tenon

TENON_IEEE_MATH_END
