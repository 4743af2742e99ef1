// Compiles, trains and checks the user's layer of docs/adding-a-layer.md. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "catch.hpp"
#include "devices.hpp"
#include "train/small_images.hpp"
// [doc:swish]
#include <tenon/tenon.hpp>

// Swish: y = x sigmoid(beta x), with one trained beta (Ramachandran, Zoph, Le, 2017).
struct Swish {
  static constexpr const char* name = "Swish";

  static constexpr tenon::LayerSpec infer(tenon::Dims in) {
    return tenon::LayerSpec::to(in).param("beta", tenon::dims(1), tenon::constant(1)).backward_reads_input();
  }

  // One element of y; and one element of dx or its contribution to dbeta. They are structs, because nvcc makes kernels of
  // structs but not of lambdas.
  template <class T>
  struct Y {
    const T *x, *beta;
    TENON_HD T operator()(std::size_t i) const { return x[i] * tenon::math::sigmoid(*beta * x[i]); }
  };
  template <class T, bool by_beta>
  struct Slope {
    const T *x, *dy, *beta;
    TENON_HD T operator()(std::size_t i) const {
      const T s = tenon::math::sigmoid(*beta * x[i]), derivative = x[i] * s * (1 - s);
      return dy[i] * (by_beta ? x[i] * derivative : s + *beta * derivative);
    }
  };

  static void forward(auto& dev, const auto& at) {
    using T = typename std::decay_t<decltype(at)>::value_type;
    const auto [beta] = at.params();
    elementwise(dev, at.y, Y<T>{at.x.data, beta.data});
  }

  static void backward(auto& dev, const auto& at) {
    using T = typename std::decay_t<decltype(at)>::value_type;
    const auto [beta] = at.params();
    const auto [dbeta] = at.grads();
    sum_into(dev, at.x.size(), Slope<T, true>{at.x.data, at.dy.data, beta.data}, dbeta);
    elementwise(dev, at.dx, Slope<T, false>{at.x.data, at.dy.data, beta.data});
  }
};
// [end]

using namespace tenon;
using namespace tenon::tests;

TEST_CASE("user layer: its gradients are right, alone and among others") {
  using Deep = Sequential<Input<7>, Linear<5>, Swish, Residual<Linear<5>, Swish>, Linear<2>>;
  CHECK(check_gradients<Sequential<Input<7>, Swish>>({}, device<Device>()).worst < 1e-7);
  CHECK(check_gradients<Deep>({}, device<Device>()).worst < 1e-7);
}

TEST_CASE("user layer: beta is a parameter like any other") {
  using Net = Sequential<Input<7>, Linear<8>, Swish, Linear<3>>;
  CHECK(plan::tensors<Net>()[2].name == "1.beta");
  Model<Net, Device> model(Seed{1}, 16, device<Device>());
  Trainer trainer(model, Adam{0.01});
  std::vector<float> x(16 * 7);
  std::vector<std::int32_t> labels(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 19) / 9 - 1;
  for (std::size_t b = 0; b < labels.size(); ++b) labels[b] = static_cast<std::int32_t>(b % 3);
  const double before = trainer.step(x.data(), labels.data(), 16).loss();
  double after = before;
  for (int i = 0; i < 60; ++i) after = trainer.step(x.data(), labels.data(), 16).loss();
  CHECK(after < 0.5 * before);
  CHECK(get(model.device(), model.parameters(), static_cast<std::size_t>(model.tensors()[2].offset)) != 1.0f);
}

TEST_CASE("user layer: an epoch trains it, recorded where the device records") {
  using Net = Sequential<Input<1, 8, 8>, Flatten, Linear<8>, Swish, Linear<4>>;
  const ImageSet set = quarters(100);
  Model<Net, Device> model(Seed{1}, 16, device<Device>());
  Trainer trainer(model, Adam{0.01});
  const ImageData data(set);
  const double before = trainer.evaluate(data).loss();
  for (int i = 0; i < 3; ++i) trainer.epoch(data);
  CHECK(trainer.progress().step == 21);
  CHECK(trainer.evaluate(data).loss() < 0.7 * before);
  CHECK(get(model.device(), model.parameters(), static_cast<std::size_t>(model.tensors()[2].offset)) != 1.0f);
}
