// Activations in double, with the C library: the reference for the tests of the kernels.
//   activation(act, x) is f(x), activation_derivative(act, x) is f'(x)
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "tenon/core/config.hpp"
#include "tenon/core/geometry.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

inline double activation(Activation act, double x) {
  const double pi = 3.14159265358979323846;
  switch (act.kind) {
    case Activation::none: return x;
    case Activation::relu: return x > 0 ? x : 0;
    case Activation::leaky_relu: return x > 0 ? x : x * act.num / act.den;
    case Activation::sigmoid: return 1 / (1 + std::exp(-x));
    case Activation::tanh: return std::tanh(x);
    case Activation::gelu: return x * 0.5 * std::erfc(-x / std::sqrt(2));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
  }
  return x;
}

inline double activation_derivative(Activation act, double x) {
  const double pi = 3.14159265358979323846;
  switch (act.kind) {
    case Activation::none: return 1;
    case Activation::relu: return x > 0 ? 1 : 0;
    case Activation::leaky_relu: return x > 0 ? 1 : static_cast<double>(act.num) / act.den;
    case Activation::sigmoid: return activation(act, x) * (1 - activation(act, x));
    case Activation::tanh: return 1 - std::tanh(x) * std::tanh(x);
    case Activation::gelu: return 0.5 * std::erfc(-x / std::sqrt(2)) + x * std::exp(-x * x / 2) / std::sqrt(2 * pi);
    case Activation::gelu_tanh: {
      const double t = std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x);
    }
    case Activation::silu: {
      const double s = 1 / (1 + std::exp(-x));
      return s + x * s * (1 - s);
    }
  }
  return 1;
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
