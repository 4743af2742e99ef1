// ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU: y = f(x) elementwise, as PyTorch's of the same names.
//   x (B, ...)   ->   y (B, ...)      any shape; backward needs y, but GELU and SiLU need x
// After a Linear or a Conv2d they become part of its kernel.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/activation.hpp"
#include "tenon/layers/layer.hpp"

#include <type_traits>

namespace tenon {

namespace detail {

template <Act A>
struct Elementwise {
  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in);
    s.act = A;
    s.reads_output = A.from_output();
    s.reads_input = !A.from_output();
    return s;
  }
  static void forward(auto& dev, const auto& at) {
    activation_forward(dev, std::integral_constant<Act, A>{}, at.flat(at.x), at.flat(at.y));
  }
  static void backward(auto& dev, const auto& at) {
    activation_backward(dev, std::integral_constant<Act, A>{}, at.flat(at.x), at.flat(at.y),
                        at.flat(at.as_const(at.dy)), at.flat(at.dx));
  }
};

}  // namespace detail

struct ReLU : detail::Elementwise<Act{Activation::relu, 0, 1}> {
  static constexpr const char* name = "ReLU";
};

/// Slope<1, 100> is 0.01, PyTorch's default.
template <int Num, int Den>
struct Slope {};

template <class S = Slope<1, 100>>
struct LeakyReLU;
template <int Num, int Den>
struct LeakyReLU<Slope<Num, Den>> : detail::Elementwise<Act{Activation::leaky_relu, Num, Den}> {
  static_assert(Num > 0 && Den > 0, "tenon::LeakyReLU: the slope must be positive, for its sign tells the branch");
  static constexpr const char* name = "LeakyReLU";
};

struct Sigmoid : detail::Elementwise<Act{Activation::sigmoid, 0, 1}> {
  static constexpr const char* name = "Sigmoid";
};

struct Tanh : detail::Elementwise<Act{Activation::tanh, 0, 1}> {
  static constexpr const char* name = "Tanh";
};

/// x Phi(x) with erf, as torch.nn.GELU().
struct GELU : detail::Elementwise<Act{Activation::gelu, 0, 1}> {
  static constexpr const char* name = "GELU";
};

/// The tanh approximation, as torch.nn.GELU(approximate="tanh").
struct GELUTanh : detail::Elementwise<Act{Activation::gelu_tanh, 0, 1}> {
  static constexpr const char* name = "GELUTanh";
};

struct SiLU : detail::Elementwise<Act{Activation::silu, 0, 1}> {
  static constexpr const char* name = "SiLU";
};

}  // namespace tenon
