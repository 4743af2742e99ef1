// A layer of one's own: what docs/adding-a-layer.md shows, compiled, trained and gradient-checked.
#include "catch.hpp"
// [doc:swish]
#include <tenon/tenon.hpp>

// Swish: y = x sigmoid(beta x), with one learnt beta (Ramachandran, Zoph, Le, 2017).
struct Swish {
  static constexpr const char* name = "Swish";

  static constexpr tenon::LayerSpec infer(tenon::Dims in) {
    return tenon::LayerSpec::to(in).param("beta", tenon::dims(1), tenon::constant(1)).backward_reads_input();
  }

  static void forward(auto& dev, const auto& at) {
    const auto [beta] = at.params();
    const auto b = beta[0];
    elementwise(dev, at.y, [&](auto i) { return at.x[i] * tenon::math::sigmoid(b * at.x[i]); });
  }

  static void backward(auto& dev, const auto& at) {
    const auto [beta] = at.params();
    const auto [dbeta] = at.grads();
    const auto b = beta[0];
    const double total = sum(dev, at.x.size(), [&](auto i) {
      const auto s = tenon::math::sigmoid(b * at.x[i]);
      return at.dy[i] * at.x[i] * at.x[i] * s * (1 - s);
    });
    dbeta[0] = static_cast<std::decay_t<decltype(b)>>(dbeta.add ? dbeta[0] + total : total);
    elementwise(dev, at.dx, [&](auto i) {
      const auto s = tenon::math::sigmoid(b * at.x[i]);
      return at.dy[i] * (s + b * at.x[i] * s * (1 - s));
    });
  }
};
// [end]

using namespace tenon;

TEST_CASE("user layer: its gradients are right, alone and among others") {
  CHECK(check_gradients<Sequential<Input<7>, Swish>>().worst < 1e-7);
  CHECK(check_gradients<Sequential<Input<7>, Linear<5>, Swish, Residual<Linear<5>, Swish>, Linear<2>>>().worst < 1e-7);
}

TEST_CASE("user layer: beta is a parameter like any other") {
  using Net = Sequential<Input<7>, Linear<8>, Swish, Linear<3>>;
  CHECK(plan::tensors<Net>()[2].name == "1.beta");
  Model<Net> model(Seed{1}, 16);
  Trainer trainer(model, Adam{0.01});
  std::vector<float> x(16 * 7);
  std::vector<std::int32_t> labels(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 19) / 9 - 1;
  for (std::size_t b = 0; b < labels.size(); ++b) labels[b] = static_cast<std::int32_t>(b % 3);
  const double before = trainer.step(x.data(), labels.data(), 16).loss();
  double after = before;
  for (int i = 0; i < 60; ++i) after = trainer.step(x.data(), labels.data(), 16).loss();
  CHECK(after < 0.5 * before);
  CHECK(model.parameters()[static_cast<std::size_t>(model.tensors()[2].offset)] != 1.0f);
}
