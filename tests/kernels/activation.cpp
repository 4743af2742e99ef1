// Activations: the formulas, their slopes, every length, the same bits for any number of threads.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/activation.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/activation.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <Act A, class T>
void agrees(double tolerance) {
  constexpr std::integral_constant<Act, A> tag;
  for (const int n : {1, 7, 8, 9, 31, 32, 33, 1000, 40000}) {
    INFO("activation " << static_cast<int>(A.kind) << ", n " << n);
    const auto x = numbers<T>(n, 1, -6, 6), dy = numbers<T>(n, 2), old = numbers<T>(n, 3);
    std::vector<double> want(n), want_dx(n), want_added(n);
    for (int i = 0; i < n; ++i) {
      want[i] = kernels::ref::activation(A, x[i]);
      want_dx[i] = dy[i] * kernels::ref::activation_slope(A, x[i]);
      want_added[i] = old[i] + want_dx[i];
    }
    SameBits same, same_dx;
    for_each_cpu([&](Cpu& dev) {
      Guarded<T> y(n), dx(n), added(old), in_place(x);
      activation_forward(dev, tag, In<T, Batch, 1>(x.data(), n), Out<T, Batch, 1>(y.data(), n));
      CHECK(difference(y, want, tolerance, tolerance) == "");
      CHECK(same(dev, y));
      activation_forward(dev, tag, In<T, Batch, 1>(in_place.data(), n), Out<T, Batch, 1>(in_place.data(), n));
      CHECK(same(dev, in_place));

      // What a function does not need may be null.
      const In<T, Batch, 1> from_x(A.from_output() ? nullptr : x.data(), n),
          from_y(A.from_output() ? y.data() : nullptr, n);
      activation_backward(dev, tag, from_x, from_y, In<T, Batch, 1>(dy.data(), n), Into<T, Batch, 1>(dx.data(), n));
      CHECK(difference(dx, want_dx, tolerance, tolerance) == "");
      CHECK(same_dx(dev, dx));
      activation_backward(dev, tag, from_x, from_y, In<T, Batch, 1>(dy.data(), n),
                          Into<T, Batch, 1>(added.data(), n, true));
      CHECK(difference(added, want_added, tolerance, tolerance) == "");
      activation_backward(dev, tag, from_x, from_y, In<T, Batch, 1>(dy.data(), n), Into<T, Batch, 1>());
      CHECK((y.intact() && dx.intact() && added.intact()));
    });
  }
}

template <Act A>
void agrees() {
  // 1 - tanh^2 loses digits where tanh is nearly 1, and the slope multiplies what is left by up to 10.
  agrees<A, float>(A.kind == Activation::gelu_tanh ? 4e-6 : 1e-6);
  agrees<A, double>(1e-14);
}

}  // namespace

TEST_CASE("relu and none agree with the reference") {
  agrees<Act{Activation::none, 0, 1}>();
  agrees<Act{Activation::relu, 0, 1}>();
}
TEST_CASE("leaky_relu agrees with the reference") { agrees<Act{Activation::leaky_relu, 1, 100}>(); }
TEST_CASE("sigmoid and tanh agree with the reference") {
  agrees<Act{Activation::sigmoid, 0, 1}>();
  agrees<Act{Activation::tanh, 0, 1}>();
}
TEST_CASE("gelu and gelu_tanh agree with the reference") {
  agrees<Act{Activation::gelu, 0, 1}>();
  agrees<Act{Activation::gelu_tanh, 0, 1}>();
}
TEST_CASE("silu agrees with the reference") { agrees<Act{Activation::silu, 0, 1}>(); }

namespace {

template <Activation K>
void keeps_not_a_number() {
  constexpr std::integral_constant<Act, Act{K, 1, 100}> tag;
  std::vector<float> x(9, NAN), y(9);
  for_each_cpu([&](Cpu& dev) {
    activation_forward(dev, tag, In<float, Batch, 1>(x.data(), 9), Out<float, Batch, 1>(y.data(), 9));
    for (const float v : y) CHECK(std::isnan(v));
  });
}

template <Activation K>
void is_tame_far_out(float at_plus, float at_minus) {
  constexpr std::integral_constant<Act, Act{K, 1, 100}> tag;
  std::vector<float> x(18), y(18), dy(18, 1), dx(18);
  for (int i = 0; i < 18; ++i) x[i] = i < 9 ? 1e4f : -1e4f;
  for_each_cpu([&](Cpu& dev) {
    activation_forward(dev, tag, In<float, Batch, 1>(x.data(), 18), Out<float, Batch, 1>(y.data(), 18));
    activation_backward(dev, tag, In<float, Batch, 1>(x.data(), 18), In<float, Batch, 1>(y.data(), 18),
                        In<float, Batch, 1>(dy.data(), 18), Into<float, Batch, 1>(dx.data(), 18));
    for (int i = 0; i < 18; ++i) {
      CHECK_THAT(y[i], WithinAbs(i < 9 ? at_plus : at_minus, 1e-30));
      CHECK_THAT(dx[i], WithinAbs(i < 9 && at_plus > 1 ? 1 : 0, 1e-30));
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
