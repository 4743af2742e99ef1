// tests/kernels/activation.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/activation.hpp"

using Device = tenon::Cpu;
#include "kernels/activation.hpp"

TEST_CASE("slopes are the derivatives of the activations") {
  const auto check = [](auto tag) {
    constexpr Activation A = decltype(tag)::value;
    for (double x = -4.03; x < 4; x += 0.37) {
      const double h = 1e-5,
                   f = (kernels::ActivationFunction<A>::of(x + h) - kernels::ActivationFunction<A>::of(x - h)) /
                       (2 * h);
      CHECK_THAT(kernels::ActivationFunction<A>::derivative(x, kernels::ActivationFunction<A>::of(x)),
                 WithinAbs(f, 1e-8));
    }
  };
  check(std::integral_constant<Activation, Activation{Activation::relu, 0, 1}>{});
  check(std::integral_constant<Activation, Activation{Activation::leaky_relu, 1, 5}>{});
  check(std::integral_constant<Activation, Activation{Activation::sigmoid, 0, 1}>{});
  check(std::integral_constant<Activation, Activation{Activation::tanh, 0, 1}>{});
  check(std::integral_constant<Activation, Activation{Activation::gelu, 0, 1}>{});
  check(std::integral_constant<Activation, Activation{Activation::gelu_tanh, 0, 1}>{});
  check(std::integral_constant<Activation, Activation{Activation::silu, 0, 1}>{});
}
