// Calls in an unusual order: other data in the middle of an epoch, passes that are discarded, updates on probation that are
// moved, replaced or saved, and steps that fail. (On which device: devices.hpp.)
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/tenon.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"
#include "files.hpp"
#include "tenon/optimizers/any_optimizer.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Small = Sequential<Input<4>, Linear<6>, BatchNorm<>, ReLU, Dropout<Rate<1, 2>>, Linear<3>>;
using Plain = Sequential<Input<4>, Linear<3>>;

template <class Net>
Model<Net, Device> make(int capacity = 8) {
  return Model<Net, Device>(Seed{5}, capacity, device<Device>());
}

std::vector<float> values(int n, float first = 0) {
  std::vector<float> v;
  for (int i = 0; i < n; ++i) v.push_back(first + static_cast<float>(i % 7) / 7 - 0.4f);
  return v;
}
const std::vector<int> labels{0, 1, 2, 0, 1, 2, 0, 1};
const std::vector<float> x1 = values(32), x2 = values(32, 0.3f);

template <class M>
std::vector<float> weights_of(const M& m) {
  return on_host(m.device(), std::as_const(m).parameters());
}
template <class M>
std::vector<float> states_of(const M& m) {
  return on_host(m.device(), std::as_const(m).states());
}
std::vector<float> copy_of(const auto& model, const auto& y) {
  return on_host(model.device(), Span<const float>{y.data, y.size()});
}

// The weights after two epochs over images, with `between` after each step.
template <class F>
std::vector<float> two_epochs(F between) {
  const ImageSet set = quarters(44);
  Model<NetOfAll, Device> model(Seed{5}, 8, device<Device>());
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, TrainerOptions{.steps_per_launch = 2});
  const ImageData data(set);
  for (int epoch = 0; epoch < 2; ++epoch) trainer.epoch(data, [&](const LossSums&) { between(trainer); });
  return weights_of(model);
}

// An update by 2000 times 8 times `gradient`, which is so large that it is on probation.
template <class T>
void large_update(T& trainer, float gradient) {
  trainer.forward(std::vector<float>(32, 1.0f));
  trainer.backward(OutputGradient{std::vector<float>(24, gradient)});
  trainer.optimizer().lr = 2000;
  trainer.update();
  trainer.optimizer().lr = 0.01;
}

// A layer, an optimizer and a loss that depend on numbers of the StepState.
struct ScaledByRate {
  static constexpr const char* name = "ScaledByRate";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  template <class T, class Step>
  struct Scale {
    const T* x;
    Step step;
    TENON_HD T operator()(std::size_t i) const { return x[i] * T(1 + step->learning_rate); }
  };
  static void forward(auto& dev, const auto& at) {
    elementwise(dev, at.y, Scale<float, std::remove_cvref_t<decltype(at.step())>>{at.x.data, at.step()});
  }
  static void backward(auto& dev, const auto& at) {
    elementwise(dev, at.dx, Scale<float, std::remove_cvref_t<decltype(at.step())>>{at.dy.data, at.step()});
  }
};
using Scaled = Sequential<Input<4>, Linear<3>, ScaledByRate>;

struct MovedBySample {
  static constexpr int states = 0;
  double lr = 0.1;
  bool operator==(const MovedBySample&) const = default;
  bool decays_everything() const { return true; }
  template <class T, class Step>
  struct Move {
    Step step;
    const T *w, *g;
    TENON_HD T operator()(std::size_t i) const {
      if (step->stopped) return w[i];
      return w[i] - T(step->learning_rate * step->gradient_scale) * g[i] + T(1e-3) * T(step->first_sample);
    }
  };
  template <class T>
  void update(auto& dev, auto step, Span<T> w, Span<const T> g, Span<T>*, bool) const {
    elementwise(dev, View<T, Batch, 1>(w.data, static_cast<int>(w.size)),
                Move<T, decltype(step)>{step, w.data, g.data});
  }
};

// The 8 samples of x1, streamed by the host. Fails in read number `fails_in`.
struct Stream {
  using Target = std::int32_t;
  int* fails_in = nullptr;
  std::uint64_t size() const { return 8; }
  template <int I>
  void read(const StepState& s, Pass pass, View<float, Batch, I> to, std::int32_t* y) const {
    if (fails_in && --*fails_in == 0) throw Error("Stream", "expected a disk, got none");
    const random::Permutation order{s.epoch_key(random::Use::shuffle), 8};
    for (int b = 0; b < to.batch; ++b) {
      std::uint64_t k = s.first_sample + static_cast<std::uint64_t>(b);
      if (pass == Pass::training) k = order(k);
      for (int i = 0; i < I; ++i) to.row(b)[i] = x1[k * I + static_cast<std::size_t>(i)];
      y[b] = labels[k];
    }
  }
};

constexpr float ruinous = 8e33f;  // the weights are finite, and the outputs, sums of five of them, are not

}  // namespace

TEST_CASE("contracts: on_step may evaluate and prepare other data") {
  const auto plain = two_epochs([](auto&) {});
  const ImageSet others = quarters(9);
  const ImageData other(others);
  CHECK(plain == two_epochs([&](auto& trainer) { static_cast<void>(trainer.evaluate(other)); }));
  CHECK(plain == two_epochs([&](auto& trainer) { trainer.prepare(other); }));
}

TEST_CASE("contracts: a forward() reads its own batch, whatever was predicted before") {
  auto a = make<Plain>(), b = make<Plain>();
  const auto want = copy_of(a, a.forward(std::span<const float>(x2)));
  b.forward(std::span<const float>(x1));
  b.predict(std::span<const float>(x1));
  CHECK(copy_of(b, b.forward(std::span<const float>(x2))) == want);
}

TEST_CASE("contracts: prepare() between forward() and backward() changes nothing") {
  const ImageSet set = quarters(20);
  const ImageData data(set);
  std::vector<float> x(3 * 64, 0.25f);
  const std::vector<int> y{0, 1, 2};
  const auto gradients = [&](bool prepare) {
    Model<NetOfAll, Device> model(Seed{5}, 8, device<Device>());
    Trainer trainer(model, Adam{1e-3});
    trainer.forward(x);
    if (prepare) trainer.prepare(data);
    trainer.backward(y);
    return on_host(model.device(), Span<const float>{model.gradients().data, model.gradients().size});
  };
  CHECK(gradients(false) == gradients(true));
}

TEST_CASE("contracts: a model on probation can be moved, and its trainer destroyed") {
  std::optional<Model<Plain, Device>> moved;
  {
    auto model = make<Plain>();
    Trainer trainer(model, Sgd{0.01});
    large_update(trainer, 1e-6f);
    const auto weights = weights_of(model);
    moved.emplace(std::move(model));
    CHECK(weights_of(*moved) == weights);
  }
  const Folder folder;
  save_model(folder / "model", *moved);
  {
    auto model = make<Plain>();
    const auto before = weights_of(model);
    Trainer trainer(model, Sgd{0.01});
    large_update(trainer, ruinous);
    moved.emplace(std::move(model));
    CHECK(weights_of(*moved) == before);
  }
}

TEST_CASE("contracts: an update that was verified, or whose weights gave finite outputs, is not rolled back") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  large_update(trainer, 1e-6f);
  SECTION("verified") { trainer.verify_last_update(); }
  SECTION("saved") {
    const Folder folder;
    save_model(folder / "model", model);
  }
  SECTION("used by the caller's own loss") {
    trainer.forward(x1);
    trainer.backward(OutputGradient{std::vector<float>(24, 0.0f)});
  }
  const auto weights = weights_of(model);
  const std::vector<float> bad(32, std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_AS(trainer.step(std::span<const float>(bad), std::span<const int>(labels)), NonFinite);
  CHECK(weights_of(model) == weights);
  CHECK(trainer.progress().step == 1);
}

TEST_CASE("contracts: the caller's own loss finds an update that has ruined the weights") {
  auto model = make<Plain>();
  const auto before = weights_of(model);
  Trainer trainer(model, Sgd{0.01});
  large_update(trainer, ruinous);
  trainer.forward(std::vector<float>(32, 1.0f));
  CHECK_THROWS_AS(trainer.backward(OutputGradient{std::vector<float>(24, 0.1f)}), NonFinite);
  CHECK(weights_of(model) == before);
  CHECK(trainer.progress().step == 0);
}

TEST_CASE("contracts: a NaN that was predicted says nothing about an update") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  large_update(trainer, 1e-6f);
  const auto weights = weights_of(model);
  const std::vector<float> bad(4, std::numeric_limits<float>::quiet_NaN());
  model.predict(std::span<const float>(bad));
  const Folder folder;
  save_model(folder / "model", model);
  CHECK(weights_of(model) == weights);
}

TEST_CASE("contracts: weights that replace those of an update on probation stay") {
  auto model = make<Plain>(), other = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  const auto snapshot = model.snapshot();
  large_update(trainer, 1e-6f);
  SECTION("restored") { model.restore(snapshot); }
  SECTION("copied") { model.copy_weights(other); }
  SECTION("reset") { model.reset(); }
  SECTION("loaded") {
    const Folder folder;
    save_model(folder / "model", other);
    load_model(model, folder / "model");
  }
  const auto weights = weights_of(model);
  CHECK(weights == weights_of(other));
  const std::vector<float> bad(32, std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_AS(trainer.step(std::span<const float>(bad), std::span<const int>(labels)), NonFinite);
  CHECK(weights_of(model) == weights);
}

TEST_CASE("contracts: a model may be saved between forward() and backward(), also on probation") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  large_update(trainer, 1e-6f);
  trainer.forward(values(20));  // 5 samples
  const Folder folder;
  save_model(folder / "model", model);
  CHECK_NOTHROW(trainer.backward(std::vector<int>{0, 1, 2, 0, 1}));
}

TEST_CASE("contracts: a checkpoint between forward() and update() is that of the last update") {
  const Folder folder;
  auto model = make<Small>(), resumed = make<Small>();
  Trainer trainer(model, Adam{1e-3}), again(resumed, Adam{1e-3});
  trainer.step(x1, labels);
  const auto states = states_of(model);
  const auto counters = model.counters();
  trainer.forward(x2);
  CHECK(states_of(model) != states);
  save_checkpoint(folder / "checkpoint", trainer);
  load_checkpoint(again, folder / "checkpoint");
  CHECK(states_of(resumed) == states);
  CHECK(resumed.counters() == counters);
  trainer.backward(labels);
  trainer.update();
  again.step(x2, labels);
  CHECK(weights_of(model) == weights_of(resumed));
  CHECK(states_of(model) == states_of(resumed));
}

TEST_CASE("contracts: a step that fails by any error restores the states") {
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.schedule = Schedule::cosine(1)});
  trainer.step(x1, labels);
  const auto states = states_of(model);
  const auto counters = model.counters();
  CHECK_THROWS_AS(trainer.step(x1, labels), Error);  // the schedule has ended
  CHECK(states_of(model) == states);
  CHECK(model.counters() == counters);
  if constexpr (std::is_same_v<Device, Cpu>) {  // a GPU makes the loss NaN
    CHECK_THROWS_AS(trainer.step(x1, std::vector<int>(8, 7)), Error);
    CHECK(states_of(model) == states);
  }
  CHECK_FALSE(model.awaits_backward());
}

TEST_CASE("contracts: loading a checkpoint, and an epoch, discard a forward()") {
  const Folder folder;
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3});
  save_checkpoint(folder / "checkpoint", trainer);
  trainer.forward(x1);
  SECTION("a checkpoint") { load_checkpoint(trainer, folder / "checkpoint"); }
  SECTION("an epoch") { trainer.epoch(Samples<float, int>(x1, labels, 8)); }
  CHECK_THROWS_AS(trainer.backward(labels), Error);
}

TEST_CASE("contracts: calls in an order that has no meaning are errors") {
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.micro_batches = 2});
  trainer.forward(x1);
  CHECK_THROWS_WITH(trainer.update(), ContainsSubstring("expected update() after backward()"));
  CHECK_THROWS_WITH(trainer.accumulate(labels, 1e39),
                    ContainsSubstring("expected a scale that the model's type can hold"));
  trainer.accumulate(labels);
  model.forward(std::span<const float>(x1.data(), 16));  // 4 samples
  CHECK_THROWS_WITH(trainer.accumulate(labels), ContainsSubstring("expected 4 targets"));
}

TEST_CASE("contracts: options of the optimizer that have become invalid are refused before the next step") {
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3});
  const Samples<float, int> data(x1, labels, 8);
  trainer.epoch(data);
  const auto weights = weights_of(model);
  const auto states = states_of(model);
  std::string expected;
  SECTION("the rate") {
    trainer.optimizer().lr = -1;
    expected = "expected a learning rate of 0 or above, got -1";
  }
  SECTION("another option") {
    trainer.optimizer().beta1 = 1;
    expected = "expected beta1 from 0 to below 1, got 1";
  }
  SECTION("the number of steps") {
    trainer.progress().step = Progress::max_steps;
    expected = "expected at most 4294967295 steps";
  }
  CHECK_THROWS_WITH(trainer.epoch(data), ContainsSubstring(expected));
  CHECK_THROWS_WITH(trainer.step(x1, labels), ContainsSubstring(expected));
  CHECK(weights_of(model) == weights);
  CHECK(states_of(model) == states);
}

TEST_CASE("contracts: every forward() of an update draws other random numbers") {
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3});
  const auto first = copy_of(model, trainer.forward(x1));
  CHECK(copy_of(model, trainer.forward(x1)) != first);
}

TEST_CASE("contracts: samples that are left out are counted for the running epoch") {
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.micro_batches = 2});
  const std::vector<float> x = values(36);
  trainer.epoch(Samples<float, int>(x, std::vector<int>(9, 1), 9));
  CHECK(trainer.skipped() == 1);
  trainer.epoch(Samples<float, int>(x1, labels, 8));
  CHECK(trainer.skipped() == 0);
}

TEST_CASE("contracts: the sums of the steps before a NaN are kept") {
  std::vector<float> x = values(160);
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  const Samples<float, int> data(x, std::vector<int>(40, 1), 40);
  trainer.epoch(data);
  std::vector<float> bad = x;
  bad[70] = std::numeric_limits<float>::quiet_NaN();
  std::int64_t seen = 0;
  CHECK_THROWS_AS(trainer.epoch(Samples<float, int>(bad, std::vector<int>(40, 1), 40),
                                [&](const LossSums& sums) { seen += sums.count; }),
                  NonFinite);
  CHECK(seen == static_cast<std::int64_t>(trainer.progress().position));
}

TEST_CASE("contracts: an update is checked with its own batch, not with one that was predicted later") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  const auto before = weights_of(model);
  large_update(trainer, ruinous);
  const std::vector<float> zeros(32);
  SECTION("predict") { CHECK_THROWS_AS(model.predict(std::span<const float>(zeros)), NonFinite); }
  SECTION("input") { CHECK_THROWS_AS(model.input(8), NonFinite); }
  SECTION("evaluate") {
    const Samples<float, int> data(zeros, labels, 8);
    CHECK_THROWS_AS(trainer.evaluate(data), NonFinite);
  }
  CHECK(weights_of(model) == before);
}

TEST_CASE("contracts: weights that replace others bring their states into the next checkpoint") {
  const Folder folder;
  auto model = make<Small>(), resumed = make<Small>();
  Trainer trainer(model, Adam{1e-3}), other(resumed, Adam{1e-3});
  trainer.step(x1, labels);
  const auto best = model.snapshot();
  const auto states = states_of(model);
  trainer.step(x2, labels);
  SECTION("after a step that has failed") {
    CHECK_THROWS_AS(trainer.step(std::vector<float>(32, std::numeric_limits<float>::quiet_NaN()), labels), NonFinite);
  }
  SECTION("between forward() and update()") { trainer.forward(x1); }
  model.restore(best);
  save_checkpoint(folder / "checkpoint", trainer);
  load_checkpoint(other, folder / "checkpoint");
  CHECK(states_of(resumed) == states);
  CHECK(weights_of(resumed) == weights_of(model));
  CHECK_THROWS_AS(trainer.step(std::vector<float>(32, std::numeric_limits<float>::quiet_NaN()), labels), NonFinite);
  CHECK(states_of(model) == states);
}

TEST_CASE("contracts: statistics from before the trainer was made belong to its checkpoint") {
  const Folder folder;
  auto model = make<Small>(), resumed = make<Small>();
  model.forward(std::span<const float>(x1));
  Trainer trainer(model, Adam{1e-3}), other(resumed, Adam{1e-3});
  save_checkpoint(folder / "checkpoint", trainer);
  load_checkpoint(other, folder / "checkpoint");
  CHECK(states_of(resumed) == states_of(model));
}

TEST_CASE("contracts: layers and optimizers read the numbers of their step, recorded, streamed or resumed") {
  const Folder folder;
  const Samples<float, int> data(x1, labels, 8);
  const TrainerOptions options{.schedule = Schedule::constant(10), .micro_batches = 2};
  SECTION("the rate in a layer") {
    auto recorded = make<Scaled>(4), streamed = make<Scaled>(4), resumed = make<Scaled>(4);
    Trainer a(recorded, Sgd{0.5}, CrossEntropy{}, {.schedule = Schedule::constant(10)});
    Trainer b(streamed, Sgd{0.5}, CrossEntropy{}, {.schedule = Schedule::constant(10)});
    Trainer c(resumed, Sgd{0.5}, CrossEntropy{}, {.schedule = Schedule::constant(10)});
    a.epoch(data);
    b.epoch(Stream{});
    CHECK(weights_of(recorded) == weights_of(streamed));
    save_checkpoint(folder / "checkpoint", a);
    load_checkpoint(c, folder / "checkpoint");
    a.epoch(data);
    c.epoch(data);
    CHECK(weights_of(recorded) == weights_of(resumed));
  }
  SECTION("the position in an optimizer, with micro-batches") {
    auto recorded = make<Plain>(2), streamed = make<Plain>(2);
    Trainer a(recorded, MovedBySample{}, CrossEntropy{}, options),
        b(streamed, MovedBySample{}, CrossEntropy{}, options);
    a.epoch(data);
    b.epoch(Stream{});
    CHECK(weights_of(recorded) == weights_of(streamed));
  }
  SECTION("the rate in an evaluation") {
    auto model = make<Scaled>(4), resumed = make<Scaled>(4);
    Trainer a(model, Sgd{0.5}, CrossEntropy{}, options), b(resumed, Sgd{0.5}, CrossEntropy{}, options);
    a.epoch(data);
    save_checkpoint(folder / "checkpoint", a);
    load_checkpoint(b, folder / "checkpoint");
    CHECK(a.evaluate(data).loss() == b.evaluate(data).loss());
    const auto predict = [](auto& m) {
      const auto y = m.predict(std::span<const float>(x1).first(16));
      return std::vector<float>(y.begin(), y.end());
    };
    CHECK(predict(model) == predict(resumed));
  }
}

TEST_CASE("contracts: prepare() between two micro-batches keeps the gradients of the first") {
  const Samples<float, int> data(x1, labels, 8);
  const auto weights = [&](bool prepare) {
    auto model = make<Plain>(4);
    Trainer trainer(model, Sgd{0.1}, CrossEntropy{}, {.micro_batches = 2});
    trainer.forward(std::span<const float>(x1).first(16));
    trainer.accumulate(std::span<const int>(labels).first(4));
    if (prepare) trainer.prepare(data);
    trainer.forward(std::span<const float>(x1).last(16));
    trainer.accumulate(std::span<const int>(labels).last(4));
    trainer.update();
    return weights_of(model);
  };
  CHECK(weights(false) == weights(true));
}

TEST_CASE("contracts: a step that was refused or discarded leaves states and counters as they were") {
  auto model = make<Small>(4), other = make<Small>(4);
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.micro_batches = 2});
  Trainer whole(other, Adam{1e-3}, CrossEntropy{}, {.micro_batches = 2});
  const auto states = states_of(model);
  const std::span<const float> x(x1);
  const std::span<const int> y(labels);
  CHECK_THROWS_WITH(trainer.step(x.first(16), y.first(3)), ContainsSubstring("expected 4 targets"));
  CHECK_THROWS_WITH(trainer.step(x.first(4), y.first(1)), ContainsSubstring("at least 2 samples"));
  CHECK_THROWS_WITH(trainer.step(x1.data(), labels.data(), -1), ContainsSubstring("expected a batch of 1 to 4"));
  int fails_in = 2;
  CHECK_THROWS_WITH(trainer.epoch(Stream{&fails_in}), ContainsSubstring("expected a disk"));
  trainer.abandon_epoch();
  CHECK(states_of(model) == states);
  trainer.forward(x.first(16));
  trainer.accumulate(y.first(4));
  trainer.epoch(Stream{});
  whole.epoch(Stream{});
  CHECK(states_of(model) == states_of(other));
  CHECK(model.counters() == other.counters());
}

TEST_CASE("contracts: momentum and decay that make weights grow without bound do not ruin them silently") {
  auto model = make<Plain>();
  const auto run = [&](auto optimizer) {
    Trainer trainer(model, optimizer);
    CHECK_THROWS_AS(
        [&] {
          for (int i = 0; i < 2000; ++i) trainer.step(x1, labels);
        }(),
        NonFinite);
    for (const float w : weights_of(model)) REQUIRE(std::isfinite(w));
  };
  SECTION("momentum") { run(Sgd{.lr = 0.1, .momentum = 1.5}); }
  SECTION("decay of Sgd") { run(Sgd{.lr = 0.1, .momentum = 0, .weight_decay = 1e6}); }
  SECTION("decay of AdamW") { run(AdamW{.lr = 0.1, .weight_decay = 1e6}); }
  SECTION("of any optimizer") { run(AnyOptimizer(AdamW{.lr = 0.1, .weight_decay = 1e6})); }
  CHECK_THROWS_WITH(Trainer(model, Sgd{.momentum = std::numeric_limits<double>::infinity()}),
                    ContainsSubstring("expected a momentum of 0 or above, got inf"));
}

TEST_CASE("contracts: an update without a forward() restores no states that were never saved") {
  auto model = make<Small>();
  Trainer trainer(model, Adam{1e-3});
  const auto states = states_of(model);
  put(model.device(), model.gradients(), 0, std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_AS(trainer.update(), NonFinite);
  CHECK(states_of(model) == states);
}

TEST_CASE("contracts: the gradients of a step that has failed are not used") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.1});
  trainer.step(x1, labels);
  const auto weights = weights_of(model);
  CHECK_THROWS_AS(trainer.step(std::vector<float>(32, std::numeric_limits<float>::quiet_NaN()), labels), NonFinite);
  CHECK_THROWS_WITH(trainer.update(), ContainsSubstring("a step that has failed"));
  CHECK(weights_of(model) == weights);
  trainer.step(x1, labels);
}

TEST_CASE("contracts: the kind of decay may be changed between two steps") {
  const auto weights = [](Decay first, Decay then) {
    auto model = make<Plain>();
    Trainer trainer(model, AdamW{.lr = 0.1, .weight_decay = 0.5, .decay = first});
    const Samples<float, int> data(x1, labels, 8);
    trainer.prepare(data);
    trainer.optimizer().decay = then;
    trainer.epoch(data);
    trainer.epoch(data);
    return weights_of(model);
  };
  CHECK(weights(Decay::everything, Decay::weights) == weights(Decay::weights, Decay::weights));
  CHECK(weights(Decay::everything, Decay::weights) != weights(Decay::everything, Decay::everything));
}

TEST_CASE("contracts: the sums of an epoch are of that epoch, and on_step may abandon it") {
  auto model = make<Plain>(4);
  Trainer trainer(model, Sgd{0.1}, CrossEntropy{}, {.steps_per_launch = 1});
  const Samples<float, int> data(x1, labels, 8);
  for (int i = 0; i < 2; ++i) {
    trainer.epoch(data, [](const LossSums&) {});
    CHECK(trainer.progress().sums.count == 8);
  }
  int steps = 0;
  CHECK_FALSE(trainer.epoch(data, [&](const LossSums&) {
    ++steps;
    trainer.abandon_epoch();
  }));
  CHECK(steps == 1);
  CHECK(trainer.progress().epoch == 2);
}

TEST_CASE("contracts: on_batch of an evaluation may not begin another one") {
  auto model = make<Plain>(4);
  Trainer trainer(model, Sgd{0.1});
  const Samples<float, int> data(x1, labels, 8), small(values(8), std::vector<int>(2, 0), 2);
  CHECK_THROWS_WITH(
      trainer.evaluate(data, [&](std::uint64_t, const auto&) { static_cast<void>(trainer.evaluate(small)); }),
      ContainsSubstring("in on_batch of evaluate()"));
  CHECK(trainer.evaluate(data).count == 8);
}

TEST_CASE("contracts: two trainers of one model do not take back each other's work") {
  auto model = make<Plain>();
  Trainer a(model, Sgd{0.01}), b(model, Sgd{0.01});
  large_update(a, 1e-6f);
  b.step(x1, labels);
  const auto weights = weights_of(model);
  CHECK_THROWS_AS(a.step(std::vector<float>(32, std::numeric_limits<float>::quiet_NaN()), labels), NonFinite);
  CHECK(weights_of(model) == weights);
}

TEST_CASE("contracts: a trainer whose model was moved or assigned says so") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.01});
  const std::string expected = "expected the model with which the trainer was made";
  SECTION("assigned") { model = make<Plain>(16); }
  SECTION("moved") { const auto moved = std::move(model); }
  CHECK_THROWS_WITH(trainer.step(x1, labels), ContainsSubstring(expected));
  CHECK_THROWS_WITH(trainer.epoch(Samples<float, int>(x1, labels, 8)), ContainsSubstring(expected));
  CHECK_THROWS_WITH(trainer.update(), ContainsSubstring(expected));
}

TEST_CASE("contracts: a negative scale turns the step round, with the same size") {
  auto a = make<Plain>(), b = make<Plain>();
  Trainer up(a, Sgd{.lr = 0.1, .momentum = 0}), down(b, Sgd{.lr = 0.1, .momentum = 0});
  const auto start = weights_of(a);
  up.forward(x1);
  up.accumulate(labels, -1);
  up.update();
  down.forward(x1);
  down.accumulate(labels);
  down.update();
  for (std::size_t i = 0; i < start.size(); ++i)
    CHECK(weights_of(a)[i] - start[i] == Approx(start[i] - weights_of(b)[i]).margin(1e-6));
}

TEST_CASE("contracts: after a rollback the next forward() draws the numbers of its step") {
  const auto first_outputs = [](bool after_rollback) {
    auto model = make<Small>();
    Trainer trainer(model, Sgd{.lr = 0.01, .momentum = 0});
    if (after_rollback) {
      trainer.forward(x1);
      trainer.backward(OutputGradient{std::vector<float>(24, ruinous)});
      trainer.optimizer().lr = 2000;
      trainer.update();
      trainer.optimizer().lr = 0.01;
      trainer.forward(x1);
      CHECK_THROWS_AS(trainer.verify_last_update(), NonFinite);
    }
    return copy_of(model, trainer.forward(x1));
  };
  CHECK(first_outputs(true) == first_outputs(false));
}

TEST_CASE("contracts: what has no meaning is refused") {
  auto model = make<Plain>();
  Trainer trainer(model, Sgd{0.1});
  const Samples<float, int> data(x1, labels, 8);
  SECTION("an empty snapshot") {
    const typename Model<Plain, Device>::Snapshot empty;
    CHECK_THROWS_WITH(model.restore(empty), ContainsSubstring("got an empty one"));
  }
  SECTION("an epoch in an epoch") {
    CHECK_THROWS_WITH(trainer.epoch(data, [&](const LossSums&) { trainer.epoch(data); }),
                      ContainsSubstring("in on_step of epoch()"));
  }
  SECTION("images without labels") {
    ImageSet set = quarters(8);
    set.labels.clear();
    const ImageData images(set);
    Model<NetOfAll, Device> of_images(Seed{5}, 8, device<Device>());
    Trainer of_labels(of_images, Sgd{0.1});
    CHECK_THROWS_WITH(of_labels.epoch(images), ContainsSubstring("got images alone"));
    CHECK_THROWS_WITH(of_labels.evaluate(images), ContainsSubstring("got images alone"));
    int batches = 0;
    of_labels.evaluate(images, [&](std::uint64_t, const auto&) { ++batches; });
    CHECK(batches == 1);
  }
  SECTION("a normalisation that divides by 0") {
    const ImageSet set = quarters(8);
    CHECK_THROWS_WITH(ImageData(set, {.deviation = 0}), ContainsSubstring("expected a deviation above 0, got 0"));
  }
  SECTION("a gradient without outputs") {
    CHECK_THROWS_WITH(trainer.backward(OutputGradient{std::vector<float>(24)}),
                      ContainsSubstring("without a forward() before it"));
  }
  SECTION("no steps in a launch") {
    CHECK_THROWS_WITH(Trainer(model, Sgd{0.1}, {.steps_per_launch = 0}),
                      ContainsSubstring("expected steps_per_launch of 1 or above"));
  }
}
