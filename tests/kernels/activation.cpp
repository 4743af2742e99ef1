// tests/kernels/activation.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/activation.hpp"

using Device = tenon::Cpu;
#include "kernels/activation.hpp"

TEST_CASE("slopes are the derivatives of the activations") {
  const auto check = [](auto tag) {
    constexpr Act A = decltype(tag)::value;
    for (double x = -4.03; x < 4; x += 0.37) {
      const double h = 1e-5, f = (kernels::Activate<A>::of(x + h) - kernels::Activate<A>::of(x - h)) / (2 * h);
      CHECK_THAT(kernels::Activate<A>::slope(x, kernels::Activate<A>::of(x)), WithinAbs(f, 1e-8));
    }
  };
  check(std::integral_constant<Act, Act{Activation::relu, 0, 1}>{});
  check(std::integral_constant<Act, Act{Activation::leaky_relu, 1, 5}>{});
  check(std::integral_constant<Act, Act{Activation::sigmoid, 0, 1}>{});
  check(std::integral_constant<Act, Act{Activation::tanh, 0, 1}>{});
  check(std::integral_constant<Act, Act{Activation::gelu, 0, 1}>{});
  check(std::integral_constant<Act, Act{Activation::gelu_tanh, 0, 1}>{});
  check(std::integral_constant<Act, Act{Activation::silu, 0, 1}>{});
}
