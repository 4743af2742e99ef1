// Calls in an unusual order: other data in the middle of an epoch, passes that are discarded, updates on probation that are
// moved, replaced or saved, and steps that fail. (On which device: devices.hpp.)
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/tenon.hpp>

#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"
#include "files.hpp"
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
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.steps_per_launch = 2});
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
