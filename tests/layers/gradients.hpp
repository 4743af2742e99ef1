// Gradients of every layer against central differences in double precision, alone and in the combinations that the plan
// treats specially: fused, aliased, read twice, accumulated. Convolutions are in gradients_conv2d.hpp. Runs on any
// device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "layers/check_gradients.hpp"

TEST_CASE("gradients: Linear, on vectors and sequences, with and without bias") {
  check<Sequential<Input<1>, Linear<1>>>();
  check<Sequential<Input<7>, Linear<5>>>();
  check<Sequential<Input<33>, Linear<17, NoBias>>>();
  check<Sequential<Input<3, 5>, Linear<4>, Tanh, Linear<2>>>();
  check<Sequential<Input<7>, Linear<5>>>(1e-6, {3, 1});
  check<Sequential<Input<7>, Linear<5>>>(1e-6, {3, 17});
}

TEST_CASE("gradients: Linear with every activation that may join it") {
  check<Sequential<Input<7>, Linear<9>, ReLU, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, LeakyReLU<>, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, LeakyReLU<Slope<1, 5>>, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, Sigmoid, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, Tanh, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, GELU, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, GELUTanh, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, SiLU, Linear<3>>>();
}

TEST_CASE("gradients: activations alone, on every rank") {
  check<Sequential<Input<7>, ReLU>>();
  check<Sequential<Input<3, 4>, GELU>>();
  check<Sequential<Input<2, 3, 4>, SiLU>>();
  check<Sequential<Input<2, 3, 4>, Tanh, Sigmoid, GELUTanh, LeakyReLU<>>>();
}

TEST_CASE("gradients: pools") {
  check<Sequential<Input<3, 6, 6>, MaxPool2d<2>>>();
  check<Sequential<Input<3, 7, 7>, MaxPool2d<3, Stride<2>, Padding<1>>>>();
  check<Sequential<Input<3, 7, 7>, MaxPool2d<2, Dilation<2>, Stride<1>>>>();
  check<Sequential<Input<3, 6, 6>, AvgPool2d<2>>>();
  check<Sequential<Input<3, 7, 7>, AvgPool2d<3, Stride<2>, Padding<1>>>>();
  check<Sequential<Input<3, 5, 4>, GlobalAvgPool, Linear<2>>>();
}

TEST_CASE("gradients: Flatten, permuted and not") {
  check<Sequential<Input<3, 5, 4>, Flatten, Linear<3>>>();
  check<Sequential<Input<1, 5, 4>, Flatten, Linear<3>>>();
  check<Sequential<Input<5, 4>, Flatten, Linear<3>>>();
  check<Sequential<Input<3, 5, 4>, ReLU, Flatten>>();
}

TEST_CASE("gradients: norms and dropout") {
  check<Sequential<Input<7>, BatchNorm<>>>();
  check<Sequential<Input<3, 5, 4>, BatchNorm<>, ReLU>>();
  check<Sequential<Input<7>, LayerNorm<>>>();
  check<Sequential<Input<3, 5>, LayerNorm<>, Linear<4>>>();
  check<Sequential<Input<40>, Dropout<Rate<1, 4>>, Linear<3>, Dropout<>>>();
}

TEST_CASE("gradients: Residual, nested, empty, projected, and read twice") {
  check<Sequential<Input<7>, Residual<Linear<7>, Tanh>>>();
  check<Sequential<Input<7>, Residual<>>>();
  check<Sequential<Input<7>, Residual<Residual<Tanh, Linear<7>>, SiLU>, Residual<GELU>, Linear<2>>>();
  check<Sequential<Input<7>, Linear<6>, Residual<Body<Tanh, Linear<9>>, Skip<Linear<9>>>, ReLU, Linear<2>>>();
}

// The check itself must fail for wrong gradients.
namespace {

template <class T>
struct Times {
  T factor;
  const T* v;
  TENON_HD T operator()(std::size_t i) const { return factor * v[i]; }
};

struct Wrong {  // the gradient is wrong by 1 %
  static constexpr const char* name = "Wrong";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  static void forward(auto& dev, const auto& at) { elementwise(dev, at.y, Times<double>{3, at.x.data}); }
  static void backward(auto& dev, const auto& at) { elementwise(dev, at.dx, Times<double>{3.03, at.dy.data}); }
};

}  // namespace

TEST_CASE("gradients: a wrong one is found and named") {
  const GradientCheck c = check_gradients<Sequential<Input<5>, Linear<4>, Wrong, Linear<2>>>({}, device<Device>());
  CHECK(c.worst > 1e-3);
  CHECK_THAT(c.where, StartsWith("0.") || StartsWith("input"));
}
