// Activations against the reference: values and derivatives, for every length around a vector, a piece of 16 bytes and
// a block, aligned and not. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/activation.hpp"

namespace {

template <Activation A, class T>
void agrees(double tolerance) {
  constexpr std::integral_constant<Activation, A> tag;
  using Vector = In<T, Batch, 1>;
  using To = Into<T, Batch, 1>;
  for (const int n : {1, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1000, 1023, 1024, 1025, many<Device>(40000, 1026)})
    for (const std::size_t offset : {0u, 1u}) {
      INFO("activation " << static_cast<int>(A.kind) << ", n " << n << ", offset " << offset);
      const std::size_t size = static_cast<std::size_t>(n);
      const auto x = numbers<T>(size, 1, -6, 6), dy = numbers<T>(size, 2), old = numbers<T>(size, 3);
      std::vector<double> want(size), want_dx(size);
      for (std::size_t i = 0; i < size; ++i) {
        want[i] = kernels::ref::activation(A, x[i]);
        want_dx[i] = dy[i] * kernels::ref::activation_derivative(A, x[i]);
      }
      SameBitsOn<Device> same, same_dx;
      Ways<Device>::each([&](Device& dev) {
        Memory<T> x_(x, offset), y(size), dy_(dy, offset), dx(size), more(old), in_place(x), in_place_dx(dy);
        activation_forward(dev, tag, Vector(x_.data(), n), Out<T, Batch, 1>(y.data(), n));
        CHECK(difference(y.read(), want, tolerance, tolerance) == "");
        CHECK(same(dev, y.read()));
        activation_forward(dev, tag, Vector(in_place.data(), n), Out<T, Batch, 1>(in_place.data(), n));
        CHECK(same(dev, in_place.read()));

        // An input that the function does not need may be null.
        const Vector from_x(A.from_output() ? nullptr : x_.data(), n), from_y(A.from_output() ? y.data() : nullptr, n);
        const Vector down(dy_.data(), n);
        activation_backward(dev, tag, from_x, from_y, down, To(dx.data(), n));
        CHECK(difference(dx.read(), want_dx, tolerance, tolerance) == "");
        CHECK(same_dx(dev, dx.read()));
        activation_backward(dev, tag, from_x, from_y, down, To(more.data(), n, true));
        CHECK(difference(more.read(), sum(old, want_dx), tolerance, tolerance) == "");
        activation_backward(dev, tag, from_x, from_y, Vector(in_place_dx.data(), n), To(in_place_dx.data(), n));
        CHECK(same_dx(dev, in_place_dx.read()));
        activation_backward(dev, tag, from_x, from_y, down, To());
        CHECK((y.intact() && dx.intact() && more.intact() && in_place.intact() && in_place_dx.intact()));
      });
    }
}

template <Activation A>
void agrees() {
  // 1 - tanh^2 loses digits where tanh is nearly 1, and the derivative multiplies the result by up to 10.
  agrees<A, float>(A.kind == Activation::gelu_tanh ? 4e-6 : 1e-6);
  agrees<A, double>(A.kind == Activation::gelu_tanh ? many<Device>(1, 4) * 1e-14 : 1e-14);
}

}  // namespace

TEST_CASE("relu and none agree with the reference") {
  agrees<Activation{Activation::none, 0, 1}>();
  agrees<Activation{Activation::relu, 0, 1}>();
}
TEST_CASE("leaky_relu agrees with the reference") { agrees<Activation{Activation::leaky_relu, 1, 100}>(); }
TEST_CASE("sigmoid and tanh agree with the reference") {
  agrees<Activation{Activation::sigmoid, 0, 1}>();
  agrees<Activation{Activation::tanh, 0, 1}>();
}
TEST_CASE("gelu and gelu_tanh agree with the reference") {
  agrees<Activation{Activation::gelu, 0, 1}>();
  agrees<Activation{Activation::gelu_tanh, 0, 1}>();
}
TEST_CASE("silu agrees with the reference") { agrees<Activation{Activation::silu, 0, 1}>(); }

namespace {

template <Activation::Kind K>
void keeps_not_a_number() {
  INFO("activation " << static_cast<int>(K));
  Ways<Device>::each([&](Device& dev) {
    Memory<float> x(9, NAN), y(9);
    activation_forward(dev, std::integral_constant<Activation, Activation{K, 1, 100}>{},
                       In<float, Batch, 1>(x.data(), 9), Out<float, Batch, 1>(y.data(), 9));
    for (const float v : y.read()) CHECK(std::isnan(v));
  });
}

template <Activation::Kind K>
void is_tame_far_out(float at_plus, float at_minus) {
  INFO("activation " << static_cast<int>(K));
  constexpr std::integral_constant<Activation, Activation{K, 1, 100}> tag;
  std::vector<float> far(18);
  for (std::size_t i = 0; i < 18; ++i) far[i] = i < 9 ? 1e4f : -1e4f;
  Ways<Device>::each([&](Device& dev) {
    Memory<float> x(far), y(18), dy(18, 1.0f), dx(18);
    activation_forward(dev, tag, In<float, Batch, 1>(x.data(), 18), Out<float, Batch, 1>(y.data(), 18));
    activation_backward(dev, tag, In<float, Batch, 1>(x.data(), 18), In<float, Batch, 1>(y.data(), 18),
                        In<float, Batch, 1>(dy.data(), 18), Into<float, Batch, 1>(dx.data(), 18));
    const auto got = y.read(), derivative = dx.read();
    for (std::size_t i = 0; i < 18; ++i) {
      CHECK_THAT(got[i], WithinAbs(i < 9 ? at_plus : at_minus, 1e-30));
      CHECK_THAT(derivative[i], WithinAbs(i < 9 && at_plus > 1 ? 1 : 0, 1e-30));
    }
  });
}

}  // namespace

TEST_CASE("NaN passes through every activation") {
  keeps_not_a_number<Activation::relu>();
  keeps_not_a_number<Activation::leaky_relu>();
  keeps_not_a_number<Activation::sigmoid>();
  keeps_not_a_number<Activation::tanh>();
  keeps_not_a_number<Activation::gelu>();
  keeps_not_a_number<Activation::gelu_tanh>();
  keeps_not_a_number<Activation::silu>();
}

TEST_CASE("activations and slopes are finite at 1e4") {
  is_tame_far_out<Activation::sigmoid>(1, 0);
  is_tame_far_out<Activation::tanh>(1, -1);
  is_tame_far_out<Activation::gelu>(1e4f, 0);
  is_tame_far_out<Activation::gelu_tanh>(1e4f, 0);
  is_tame_far_out<Activation::silu>(1e4f, 0);
}
