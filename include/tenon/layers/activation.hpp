// ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU: y = f(x) elementwise, as the PyTorch layers of the same names.
//   x (B, ...)   ->   y (B, ...)      any shape; backward needs y, but GELU and SiLU need x
// After a Linear or a Conv2d the kernel of that layer applies the activation where possible.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/activation.hpp"
#include "tenon/layers/options.hpp"

#include <type_traits>

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace detail {

template <kernels::Activation A>
struct Elementwise {
  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in);
    s.activation = A;
    s.reads_output = A.from_output();
    s.reads_input = !A.from_output();
    return s;
  }
  static void forward(auto& dev, const auto& at) {
    activation_forward(dev, std::integral_constant<kernels::Activation, A>{}, at.flat(at.x), at.flat(at.y));
  }
  static void backward(auto& dev, const auto& at) {
    activation_backward(dev, std::integral_constant<kernels::Activation, A>{}, at.flat(at.x), at.flat(at.y),
                        at.flat(at.as_const(at.dy)), at.flat(at.dx));
  }
};

}  // namespace detail

struct ReLU : detail::Elementwise<kernels::Activation{kernels::Activation::relu, 0, 1}> {
  static constexpr const char* name = "ReLU";
};

namespace detail {

template <auto S>
constexpr kernels::Activation leaky_relu() {
  if constexpr (is_option<option_type<S>, layer_options::Slope>)
    return {kernels::Activation::leaky_relu, S.num, S.den};
  else
    return {kernels::Activation::leaky_relu, 0, 0};
}

}  // namespace detail

/// `LeakyReLU<>`, `LeakyReLU<Slope<1, 5>>`. The slope is positive, because backward derives the branch from the sign of y.
template <auto S = Slope<1, 100>>
struct LeakyReLU : detail::Elementwise<detail::leaky_relu<S>()> {
  static constexpr const char* name = "LeakyReLU";

  static constexpr LayerSpec infer(Dims in) {
    constexpr kernels::Activation a = detail::leaky_relu<S>();
    if (a.num < 1 || a.den < 1)
      return LayerSpec::no(Need::a_positive_slope, dims(a.num, a.den), Remedy::a_Slope_like_1_over_100);
    return detail::Elementwise<a>::infer(in);
  }
};

struct Sigmoid : detail::Elementwise<kernels::Activation{kernels::Activation::sigmoid, 0, 1}> {
  static constexpr const char* name = "Sigmoid";
};

struct Tanh : detail::Elementwise<kernels::Activation{kernels::Activation::tanh, 0, 1}> {
  static constexpr const char* name = "Tanh";
};

/// x Phi(x) with erf, as torch.nn.GELU().
struct GELU : detail::Elementwise<kernels::Activation{kernels::Activation::gelu, 0, 1}> {
  static constexpr const char* name = "GELU";
};

/// The tanh approximation of GELU, as torch.nn.GELU(approximate="tanh").
struct GELUTanh : detail::Elementwise<kernels::Activation{kernels::Activation::gelu_tanh, 0, 1}> {
  static constexpr const char* name = "GELUTanh";
};

struct SiLU : detail::Elementwise<kernels::Activation{kernels::Activation::silu, 0, 1}> {
  static constexpr const char* name = "SiLU";
};

}  // namespace tenon

TENON_IEEE_MATH_END
