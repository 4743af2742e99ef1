// Training in separate calls: forward, the caller's own loss, accumulation, update, prediction in between, and saving.
// It gives the same guarantees as epoch(). Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tenon/tenon.hpp>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"
#include "files.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Plain = Sequential<Input<10>, Linear<32>, ReLU, Linear<32>, Tanh, Linear<3>>;
using Normed = Sequential<Input<10>, Linear<16>, BatchNorm<>, ReLU, Dropout<Rate<1, 4>>, Linear<3>>;

using Growing = Sequential<Input<10>, Linear<16>, ReLU, Linear<16>, ReLU, Linear<3>>;  // large weights overflow

struct Rows {
  std::vector<float> x;
  std::vector<std::int32_t> y;
  std::span<const float> x_of(int first, int n) const {
    return {x.data() + first * 10, static_cast<std::size_t>(n) * 10};
  }
  std::span<const std::int32_t> y_of(int first, int n) const { return {y.data() + first, static_cast<std::size_t>(n)}; }
};
Rows rows(int n) {
  Rows r;
  for (int i = 0; i < n * 10; ++i) r.x.push_back(static_cast<float>(i * 37 % 211) / 100 - 1);
  for (int b = 0; b < n; ++b) r.y.push_back(b * 7 % 3);
  return r;
}

template <class M>
std::vector<float> parameters(const M& model) {
  return on_host(model.device(), model.parameters());
}
template <class M>
std::vector<float> gradients(M& model) {
  return on_host(model.device(), Span<const float>{model.gradients().data, model.gradients().size});
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    d = std::max(d, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return d;
}

}  // namespace

TEST_CASE("taken apart: forward, backward, update have the bits of step()") {
  const Rows r = rows(48);
  Model<Normed, Device> a(Seed{1}, 16, device<Device>()), b(Seed{1}, 16, device<Device>()),
      c(Seed{1}, 16, device<Device>());
  Trainer ta(a, Adam{1e-2}), tb(b, Adam{1e-2}), tc(c, Adam{1e-2});
  for (int k = 0; k < 3; ++k) {
    const LossSums one = ta.step(r.x_of(16 * k, 16), r.y_of(16 * k, 16));
    const LossSums again = tb.step(r.x.data() + 160 * k, r.y.data() + 16 * k, 16);
    tc.forward(r.x_of(16 * k, 16));
    const LossSums apart = tc.backward(r.y_of(16 * k, 16));
    tc.update();
    CHECK(one.loss() == again.loss());
    CHECK(one.loss() == apart.loss());
  }
  CHECK(parameters(a) == parameters(b));
  CHECK(parameters(a) == parameters(c));
  CHECK(on_host(a.device(), a.states()) == on_host(c.device(), c.states()));
}

TEST_CASE("taken apart: a loss of one's own, by the gradient of the outputs") {
  const Rows r = rows(8);
  Model<Plain, Device> a(Seed{1}, 8, device<Device>()), b(Seed{1}, 8, device<Device>());
  std::vector<float> targets(24, 0.25f);
  Trainer ta(a, Sgd{0.1}, MeanSquaredError{});
  Trainer tb(b, Sgd{0.1});
  for (int k = 0; k < 3; ++k) {
    ta.step(r.x, targets);
    const auto y = on_host(b.device(), [&] {
      const auto view = tb.forward(r.x);
      return Span<const float>{view.data, view.size()};
    }());
    std::vector<float> dy(24);
    for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = 2 * (y[i] - targets[i]) / 24;
    tb.backward(OutputGradient{dy});
    tb.update();
  }
  CHECK(largest_difference(parameters(a), parameters(b)) < 1e-6);
}

TEST_CASE("taken apart: four micro-batches of 32 are one batch of 128") {
  const Rows r = rows(512);
  Model<Plain, Device> whole(Seed{1}, 128, device<Device>()), parts(Seed{1}, 32, device<Device>());
  Trainer of_whole(whole, Sgd{0.1}), of_parts(parts, Sgd{0.1}, {.micro_batches = 4});
  for (int step = 0; step < 4; ++step) {
    const double loss = of_whole.step(r.x_of(128 * step, 128), r.y_of(128 * step, 128)).loss();
    LossSums sums;
    for (int k = 0; k < 4; ++k) {
      of_parts.forward(r.x_of(128 * step + 32 * k, 32));
      sums = sums + of_parts.accumulate(r.y_of(128 * step + 32 * k, 32));
    }
    of_parts.update();
    CHECK(sums.loss() == Approx(loss).epsilon(1e-6));
  }
  // Sums of 128 float products in another order: each step may change a weight by some units in the last place.
  CHECK(largest_difference(parameters(whole), parameters(parts)) < 2e-6);
}

TEST_CASE("taken apart: epoch() accumulates as its caller would, and the tree has the same bits in any grouping") {
  const Rows r = rows(80);
  const Samples<float, std::int32_t> data(r.x, r.y, 80);
  Model<Plain, Device> a(Seed{1}, 8, device<Device>()), b(Seed{1}, 8, device<Device>());
  Trainer ta(a, Sgd{0.1}, {.micro_batches = 4}), tb(b, Sgd{0.1}, {.micro_batches = 4});
  ta.epoch(data);
  const random::Permutation order{StepState{}.epoch_key(random::Use::shuffle), 80};
  CHECK(ta.progress().step == 3);  // 32, 32 and 16 samples
  for (int first = 0; first < 80; first += 32) {
    for (int k = first; k < std::min(first + 32, 80); k += 8) {
      std::vector<float> x;
      std::vector<std::int32_t> y;
      for (int i = k; i < k + 8; ++i) {
        const auto from = static_cast<std::size_t>(order(static_cast<std::uint64_t>(i)));
        x.insert(x.end(), r.x.begin() + static_cast<std::ptrdiff_t>(from * 10),
                 r.x.begin() + static_cast<std::ptrdiff_t>(from * 10 + 10));
        y.push_back(r.y[from]);
      }
      tb.forward(x);
      tb.accumulate(y);
    }
    tb.update();
  }
  CHECK(parameters(a) == parameters(b));

  // (g0 + g1) + (g2 + g3): the halves may be computed separately and then added.
  Model<Plain, Device> model(Seed{1}, 8, device<Device>());
  const auto sum_of = [&](int first, int n) {
    Trainer t(model, Sgd{0.0}, {.micro_batches = 4});
    tenon::detail::GradientTree<Model<Plain, Device>> tree(model, 4);
    CrossEntropy loss;
    for (int k = first; k < first + n; ++k) {
      t.forward(r.x_of(8 * k, 8));
      t.backward(r.y_of(8 * k, 8));
      tree.add(model);
    }
    tree.finish(model);
    return gradients(model);
  };
  const auto all = sum_of(0, 4), low = sum_of(0, 2), high = sum_of(2, 2);
  std::vector<float> halves(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) halves[i] = low[i] + high[i];
  CHECK(std::memcmp(halves.data(), all.data(), all.size() * sizeof(float)) == 0);
}

TEST_CASE("taken apart: a micro-batch may be scaled, and the divisor is the total weight") {
  const Rows r = rows(16);
  Model<Plain, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Sgd{.lr = 0.5, .momentum = 0}, {.micro_batches = 2});
  const auto before = parameters(model);
  std::vector<std::vector<float>> g;
  for (int k = 0; k < 2; ++k) {
    trainer.forward(r.x_of(8 * k, 8));
    trainer.backward(r.y_of(8 * k, 8));
    g.push_back(gradients(model));  // gradient of the mean over 8 samples
  }
  trainer.forward(r.x_of(0, 8));
  trainer.accumulate(r.y_of(0, 8), 3);
  trainer.forward(r.x_of(8, 8));
  trainer.accumulate(r.y_of(8, 8));
  trainer.update();
  const auto after = parameters(model);
  std::vector<float> expected(before.size());
  for (std::size_t i = 0; i < before.size(); ++i) expected[i] = before[i] - 0.5f * (3 * g[0][i] + g[1][i]) / 4;
  CHECK(largest_difference(after, expected) < 1e-6);
}

TEST_CASE("taken apart: predict between forward and backward changes no gradient") {
  const Rows r = rows(16);
  Model<Plain, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Sgd{0.1});
  std::vector<std::vector<float>> g;
  for (int how = 0; how < 3; ++how) {
    trainer.forward(r.x_of(0, 8));
    if (how == 1) model.predict(r.x_of(8, 5));
    if (how == 2) {
      const auto in = model.input(3);
      upload(model.device(), r.x.data() + 80, in.data, in.size());
      model.predict(3);
    }
    trainer.backward(r.y_of(0, 8));
    g.push_back(gradients(model));
  }
  CHECK(g[0] == g[1]);
  CHECK(g[0] == g[2]);
  const auto first = model.predict(r.x_of(0, 4));
  const std::vector<float> once(first.begin(), first.end());
  const auto second = on_host(model.device(), [&] {
    const auto y = model.predict(4);  // uses the same input()
    return Span<const float>{y.data, y.size()};
  }());
  CHECK(once == second);
}

TEST_CASE("taken apart: states are saved before an update and restored where it fails") {
  Rows r = rows(8);
  Model<Normed, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Sgd{0.1}, {.micro_batches = 2});
  trainer.step(r.x, r.y);
  const auto weights = parameters(model), states = on_host(model.device(), model.states());
  const auto counters = model.counters();
  const auto unchanged = [&] {
    CHECK(parameters(model) == weights);
    CHECK(on_host(model.device(), model.states()) == states);
    CHECK(model.counters() == counters);
    CHECK(trainer.progress().step == 1);
  };
  trainer.forward(r.x);  // the caller gives an infinite gradient
  std::vector<float> dy(24, std::numeric_limits<float>::infinity());
  trainer.backward(OutputGradient{dy});
  CHECK_THROWS_AS(trainer.update(), NonFinite);
  unchanged();
  trainer.forward(r.x);  // NaN in the second of two micro-batches
  trainer.accumulate(r.y);
  r.x[3] = std::numeric_limits<float>::quiet_NaN();
  trainer.forward(r.x);
  CHECK_THROWS_AS(trainer.accumulate(r.y), NonFinite);
  unchanged();
  r.x[3] = 0;
  trainer.step(r.x, r.y);  // the failed steps have no effect
  CHECK(trainer.progress().step == 2);
}

TEST_CASE("taken apart: what is saved was verified") {
  const Folder folder;
  const Rows r = rows(8);
  Model<Growing, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Sgd{.lr = 1e-3, .momentum = 0});
  trainer.step(r.x, r.y);
  const auto good = parameters(model);
  trainer.optimizer().lr = 1e37;
  trainer.step(r.x, r.y);  // the weights are finite, but the outputs are not
  CHECK(parameters(model) != good);
  SECTION("as a checkpoint") { CHECK_THROWS_AS(save_checkpoint(folder / "checkpoint", trainer), NonFinite); }
  SECTION("as a model") { CHECK_THROWS_AS(save_model(folder / "model", model), NonFinite); }
  SECTION("for predictors") { CHECK_THROWS_AS(model.weights(), NonFinite); }
  CHECK(parameters(model) == good);
  CHECK(trainer.progress().step == 1);
  save_checkpoint(folder / "checkpoint", trainer);
}

TEST_CASE("taken apart: a trainer that is gone leaves no ruined weights") {
  const Rows r = rows(8);
  Model<Growing, Device> model(Seed{1}, 8, device<Device>());
  const auto good = parameters(model);
  {
    Trainer trainer(model, Sgd{.lr = 1e37, .momentum = 0});
    trainer.step(r.x, r.y);
  }
  CHECK(parameters(model) == good);
}

TEST_CASE("taken apart: calls out of order are one error each") {
  const Rows r = rows(16);
  Model<Plain, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Sgd{0.1});
  CHECK_THROWS_AS(trainer.backward(r.y_of(0, 8)), Error);
  CHECK_THROWS_AS(model.backward(), Error);
  trainer.forward(r.x_of(0, 8));
  CHECK_THROWS_AS(trainer.backward(r.y_of(0, 7)), Error);
  trainer.accumulate(r.y_of(0, 8));
  trainer.forward(r.x_of(0, 8));
  CHECK_THROWS_AS(trainer.backward(r.y_of(0, 8)), Error);
  CHECK_THROWS_WITH(trainer.accumulate(r.y_of(0, 8)), ContainsSubstring("micro_batches"));
  CHECK_THROWS_WITH(trainer.update(), ContainsSubstring("after a forward() without backward()"));  // a lost micro-batch
  const Samples<float, std::int32_t> a(r.x, r.y, 16), b(rows(12).x, rows(12).y, 12);
  CHECK_FALSE(trainer.epoch(a, [](const LossSums&) { return false; }));
  CHECK_THROWS_WITH(trainer.epoch(b), ContainsSubstring("abandon_epoch"));
  CHECK(trainer.epoch(a, [](const LossSums&) {}));  // finishes the epoch
  trainer.epoch(b);
  CHECK(trainer.progress().epoch == 2);
  CHECK_FALSE(trainer.epoch(a, [](const LossSums&) { return false; }));
  trainer.abandon_epoch();
  trainer.epoch(b);
}

TEST_CASE("taken apart: a schedule that is over, or of no steps, is refused") {
  CHECK_THROWS_AS(Schedule::cosine(0), Error);
  CHECK_THROWS_AS(Schedule::one_cycle(1), Error);
  CHECK_THROWS_AS(Schedule::cosine(10, 20), Error);
  CHECK_THROWS_AS(Schedule::step_decay(0), Error);
  const Rows r = rows(24);
  Model<Plain, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Sgd{0.1}, {.schedule = Schedule::one_cycle(4)});
  const Samples<float, std::int32_t> data(r.x, r.y, 24);
  trainer.epoch(data);
  CHECK(trainer.learning_rate() > 0);
  CHECK_THROWS_WITH(trainer.epoch(data), ContainsSubstring("at most 4 steps"));
  CHECK(trainer.progress().step == 4);
}

TEST_CASE("taken apart: weights move between models without a file") {
  const Rows r = rows(8);
  Model<Normed, Device> a(Seed{1}, 8, device<Device>());
  Trainer trainer(a, Sgd{0.1});
  const auto start = a.snapshot();
  const auto before = parameters(a);
  for (int i = 0; i < 3; ++i) trainer.step(r.x, r.y);
  const auto trained = parameters(a);
  REQUIRE(trained != before);
  Model<Normed, Device> b(Seed{9}, 4, a.device());
  b.copy_weights(a);
  CHECK(parameters(b) == trained);
  CHECK(b.counters() == a.counters());
  Predictor<Normed, Device> predict(a.weights(), 8, a.device());
  const auto y = predict(r.x.data(), 8);
  const std::vector<float> by_predictor(y.begin(), y.end());
  const auto by_model = a.predict(r.x);
  CHECK(std::vector<float>(by_model.begin(), by_model.end()) == by_predictor);
  a.restore(start);
  CHECK(parameters(a) == before);
  Model<Normed, Device> moved = std::move(b);
  CHECK(parameters(moved) == trained);
  const auto by_moved = moved.predict(r.x_of(0, 4));
  CHECK(std::equal(by_moved.begin(), by_moved.end(), by_predictor.begin()));
}

TEST_CASE("taken apart: a NaN is blamed on its layer, whatever the input's shape") {
  using Images = Sequential<Input<2, 8, 8>, Conv2d<8, Kernel<3>, Padding<1>>, BatchNorm<>, ReLU, MaxPool2d<2>, Flatten,
                            Linear<16>, LayerNorm<>, GELU, Linear<4>>;
  Model<Images, Device> model(Seed{1}, 8, device<Device>());
  Trainer trainer(model, Adam{1e-3});
  std::vector<float> x(8 * 128);
  const std::vector<std::int32_t> y(8, 1);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.01f * static_cast<float>(i % 77);
  for (const plan::NamedTensor& t : model.tensors()) {
    if (t.kind != plan::NamedTensor::Kind::parameter) continue;
    const std::size_t at = static_cast<std::size_t>(t.offset);
    const float old = get(model.device(), model.parameters(), at);
    put(model.device(), model.parameters(), at, std::numeric_limits<float>::quiet_NaN());
    try {
      trainer.step(x, y);
      FAIL("expected NonFinite");
    } catch (const NonFinite& e) {
      INFO(t.name << " " << e.layer);
      CHECK(e.layer.find("layer " + t.name.substr(0, t.name.find('.'))) == 0);
    }
    put(model.device(), model.parameters(), at, old);
  }
}

TEST_CASE("taken apart: BatchNorm over one sample, and class weights of 0") {
  using Flat = Sequential<Input<4>, Linear<8>, BatchNorm<>, ReLU, Linear<3>>;
  const Samples<float, std::int32_t> five(std::vector<float>(20, 0.5f), {0, 1, 2, 0, 1}, 5),
      one(std::vector<float>(4, 0.5f), {1}, 1);
  {
    Model<Flat, Device> model(Seed{1}, 1, device<Device>());
    Trainer trainer(model, Adam{});
    CHECK_THROWS_WITH(trainer.epoch(five), ContainsSubstring("at least 2 samples"));
  }
  Model<Flat, Device> model(Seed{1}, 4, device<Device>());
  Trainer trainer(model, Adam{});
  CHECK_THROWS_WITH(trainer.epoch(one), ContainsSubstring("at least 2 samples"));
  CHECK(trainer.epoch(five).weight_sum == 4);
  CHECK(trainer.skipped() == 1);

  CHECK_THROWS_AS(Trainer(model, Adam{}, CrossEntropy{0, {0, 0, 0}}), Error);
  using Small = Sequential<Input<4>, Linear<3>>;
  Model<Small, Device> small(Seed{1}, 4, device<Device>());
  Trainer weighted(small, Sgd{0.1}, CrossEntropy{0, {0, 1, 1}});
  const auto before = parameters(small);
  const std::vector<float> x(16, 0.5f);
  const std::vector<std::int32_t> zeros(4, 0);
  CHECK(weighted.step(x, zeros).weight_sum == 0);  // nothing to learn from
  CHECK(parameters(small) == before);
}
