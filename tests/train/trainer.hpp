// Trainer: it learns, its bits are the same in every run, it stops at errors, and it keeps good weights. Runs on any
// device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/tenon.hpp>

#include <cstring>
#include <limits>
#include <tenon/optimizers/any_optimizer.hpp>

#include "catch.hpp"
#include "devices.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Net = NetOfAll;

template <class Network>
using Made = Model<Network, Device>;

template <class M>
std::vector<unsigned char> bits(const M& m) {
  std::vector<unsigned char> b;
  for (const auto span : {m.parameters(), m.states()}) {
    const auto values = on_host(m.device(), span);
    const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
    b.insert(b.end(), bytes, bytes + span.size * sizeof(typename M::T));
  }
  return b;
}

// Trains two epochs. Each is left once, after stop_after calls of the callback, and then continued.
std::vector<unsigned char> train(const ImageSet& set, Device dev, int stop_after = 0, int steps_per_launch = 64) {
  Made<Net> model(Seed{5}, 16, std::move(dev));
  Trainer trainer(model, AdamW{}, CrossEntropy{},
                  {.schedule = Schedule::one_cycle(30), .clip_norm = 1.0, .steps_per_launch = steps_per_launch});
  const ImageData data(set, {0.5, 0.25, true, true});
  for (int epoch = 0; epoch < 2; ++epoch) {
    int steps = 0;
    while (!trainer.epoch(data, [&](const LossSums&) { return ++steps != stop_after; })) continue;
    CHECK(steps >= stop_after);
  }
  return bits(model);
}

}  // namespace

TEST_CASE("trainer: the same bits from run to run, and when an epoch is left and entered again") {
  const ImageSet set = quarters(107);  // not a multiple of 16
  const auto one = train(set, device<Device>());
  CHECK(one == train(set, device<Device>()));
  CHECK(one == train(set, device<Device>(), 3, 2));
}

TEST_CASE("trainer: it learns", "[smoke]") {
  const ImageSet train_set = quarters(400), test_set = quarters(60);
  Made<Net> model(Seed{1}, 32, device<Device>());
  Trainer trainer(model, Adam{3e-3});
  const ImageData data(train_set, {0.5, 0.25}), test(test_set, {0.5, 0.25});
  const double before = trainer.evaluate(test).loss();
  for (int epoch = 0; epoch < 4; ++epoch) trainer.epoch(data);
  const LossSums after = trainer.evaluate(test);
  CHECK(after.count == 60);
  CHECK(after.loss() < 0.3 * before);
  CHECK(after.accuracy() > 0.95);
  CHECK(trainer.progress().epoch == 4);
  CHECK(trainer.progress().step == 4 * 13);
  CHECK(model.counters()[0] == 4 * 13);  // num_batches_tracked
}

TEST_CASE("trainer: evaluation does not depend on the capacity, beyond rounding") {
  const ImageSet set = quarters(50);
  Made<Net> a(Seed{1}, 7, device<Device>()), b(Seed{1}, 50, device<Device>());
  Trainer ta(a, Sgd{}), tb(b, Sgd{});
  const ImageData data(set);
  CHECK(ta.evaluate(data).loss() == Approx(tb.evaluate(data).loss()).epsilon(1e-5));
  CHECK(ta.evaluate(data).count == 50);
}

TEST_CASE("trainer: a batch of several backward passes is the sum of its parts") {
  using Small = Sequential<Input<6>, Linear<5>, Tanh, Linear<3>>;
  const std::vector<float> x{1, 2, 3, 4, 5, 6, -1, -2, 0, 1, 0, 2};
  Made<Small> whole(Seed{3}, 2, device<Device>()), parts(Seed{3}, 1, device<Device>());
  const auto labels = on_device(whole.device(), std::vector<std::int32_t>{0, 2});
  upload(whole.device(), x.data(), whole.input(2).data, 12);
  whole.backward(CrossEntropy{}, labels.data(), 2);
  for (int i = 0; i < 2; ++i) {
    upload(parts.device(), x.data() + 6 * i, parts.input(1).data, 6);
    parts.backward(CrossEntropy{}, labels.data() + i, 1, i > 0);
  }
  const auto of_whole = on_host(whole.device(), whole.gradients()),
             of_parts = on_host(parts.device(), parts.gradients());
  for (std::size_t i = 0; i < of_whole.size(); ++i) CHECK(of_whole[i] == Approx(of_parts[i] / 2).margin(1e-6));
}

TEST_CASE("trainer: clipping scales the gradient to the norm, and no further") {
  using Small = Sequential<Input<2>, Linear<2, NoBias>>;
  Made<Small> model(Seed{3}, 1, device<Device>());
  Sgd sgd;
  sgd.lr = 1;
  sgd.momentum = 0;
  Trainer trainer(model, sgd, CrossEntropy{}, {.schedule = Schedule::constant(), .clip_norm = 0.01});
  const auto before = on_host(model.device(), model.parameters());
  const float x[] = {3, -4};
  const std::int32_t label = 1;
  trainer.step(x, &label, 1);
  const auto after = on_host(model.device(), model.parameters());
  double moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) moved += std::pow(after[i] - before[i], 2);
  CHECK(std::sqrt(moved) == Approx(0.01).epsilon(1e-4));
}

TEST_CASE("trainer: AdamW spares biases and norms, unless told otherwise") {
  using Small = Sequential<Input<3>, Linear<4>, BatchNorm<>, Linear<2>>;
  const float x[] = {0, 0, 0, 0, 0, 0};
  const std::int32_t labels[] = {0, 1};
  for (const bool everything : {false, true}) {
    Made<Small> model(Seed{3}, 2, device<Device>());
    AdamW adamw{.lr = 0.1};
    adamw.weight_decay = 0.5;
    if (everything) adamw.decay = Decay::everything;
    Trainer trainer(model, adamw);
    const auto before = on_host(model.device(), model.parameters());
    trainer.step(x, labels, 2);
    const auto after = on_host(model.device(), model.parameters());
    // The input is zero, so the gradient of 0.weight is 0 and only decay changes it. The gradient of 0.bias is also 0,
    // because BatchNorm subtracts it.
    const auto& t = model.tensors();
    const auto at = [&](std::size_t i) { return static_cast<std::size_t>(t[i].offset); };
    REQUIRE((t[0].name == "0.weight" && t[1].name == "0.bias" && t[2].name == "1.weight"));
    CHECK(after[at(0)] == Approx(before[at(0)] * 0.95f));
    CHECK(after[at(2)] == Approx(everything ? 0.95f : 1.0f).margin(1e-6));
  }
}

TEST_CASE("trainer: a NaN in the data stops it, names the layer, and spares weights and statistics") {
  Made<Net> model(Seed{5}, 16, device<Device>());
  Trainer trainer(model, Adam{});
  std::vector<float> x(16 * 64, 0.5f);
  const std::vector<std::int32_t> labels(16, 1);
  trainer.step(x.data(), labels.data(), 16);
  const auto good = bits(model);
  x[100] = std::numeric_limits<float>::quiet_NaN();
  try {
    trainer.step(x.data(), labels.data(), 16);
    FAIL("expected NonFinite");
  } catch (const NonFinite& e) {
    CHECK(e.step == 2);
    CHECK(e.layer == "the input");
  }
  CHECK(bits(model) == good);
  CHECK(model.counters()[0] == 1);
}

TEST_CASE("trainer: weights that overflow are traced to their layer") {
  using Small = Sequential<Input<4>, Linear<4>, Tanh, Linear<4>, ReLU, Linear<2>>;
  Made<Small> model(Seed{5}, 2, device<Device>());
  const auto& t = model.tensors()[2];
  REQUIRE(t.name == "2.weight");
  for (long long i = 0; i < t.dims.count(); ++i)
    put(model.device(), model.parameters(), static_cast<std::size_t>(t.offset + i), i % 2 ? 3e38f : -3e38f);
  put(model.device(), model.parameters(), 0, 100);
  Trainer trainer(model, Adam{});
  const float x[] = {1, 1, 1, 1, -1, -1, -1, -1};
  const std::int32_t labels[] = {0, 1};
  try {
    for (int i = 0; i < 3; ++i) trainer.step(x, labels, 2);
    FAIL("expected NonFinite");
  } catch (const NonFinite& e) {
    INFO(e.what());
    CHECK_THAT(e.layer, ContainsSubstring("layer 2 (Linear)") || ContainsSubstring("layer 4 (Linear)") ||
                            ContainsSubstring("gradient"));
    CHECK_THAT(e.what(), StartsWith("[train] expected a finite "));
  }
}

TEST_CASE("trainer: an update that would overflow is taken back, and one that ruined the weights as well") {
  std::vector<float> x(16 * 64);
  std::vector<std::int32_t> labels(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 19) / 9 - 1;
  for (std::size_t b = 0; b < labels.size(); ++b) labels[b] = static_cast<std::int32_t>(b % 4);
  const auto refuses = [&](auto optimizer, std::uint64_t at_step, const char* what) {
    Made<Net> model(Seed{5}, 16, device<Device>());
    Trainer trainer(model, optimizer);
    const double lr = trainer.optimizer().lr;
    trainer.optimizer().lr = 1e-3;
    trainer.step(x.data(), labels.data(), 16);
    const auto good = on_host(model.device(), model.parameters());
    const auto state = on_host(model.device(), trainer.state()[0].span());
    trainer.optimizer().lr = lr;
    try {
      for (int i = 0; i < 3; ++i) trainer.step(x.data(), labels.data(), 16);
      FAIL("expected NonFinite");
    } catch (const NonFinite& e) {
      INFO(e.what());
      CHECK(e.step == at_step);
      CHECK_THAT(e.what(), StartsWith(std::string("[train] expected a finite ") + what));
    }
    CHECK(on_host(model.device(), model.parameters()) == good);
    CHECK(on_host(model.device(), trainer.state()[0].span()) == state);
    CHECK(trainer.progress().step == 1);
    trainer.optimizer().lr = 1e-3;  // training can continue
    CHECK(std::isfinite(trainer.step(x.data(), labels.data(), 16).loss()));
    CHECK(trainer.progress().step == 2);
  };
  refuses(Adam{1e300}, 2, "update");
  refuses(Sgd{1e39}, 2, "update");
  refuses(Adam{1e37}, 3, "loss");  // the weights are finite, but the loss is not
  refuses(Sgd{1e37}, 3, "loss");
}

TEST_CASE("trainer: with an update that ruined the weights goes all that its step changed") {
  const ImageSet set = quarters(64);
  const ImageData data(set);
  for (const bool asked : {false, true}) {  // whether verify_last_update() is called
    Made<Net> model(Seed{5}, 16, device<Device>());
    Trainer trainer(model, Sgd{1e-3}, CrossEntropy{}, {.steps_per_launch = 1});
    std::vector<unsigned char> good;
    std::vector<long long> counters;
    Progress before;
    int steps = 0;
    const auto third_is_large = [&](const LossSums&) {
      if (++steps == 2) {
        good = bits(model);
        counters = model.counters();
        before = trainer.progress();
        trainer.optimizer().lr = 1e37;
      } else if (asked) {
        trainer.verify_last_update();
      }
      return true;
    };
    try {
      trainer.epoch(data, third_is_large);
      FAIL("expected NonFinite");
    } catch (const NonFinite& e) {
      CHECK(e.step == (asked ? 3 : 4));
      CHECK_THAT(e.what(), StartsWith(asked ? "[train] expected a finite output" : "[train] expected a finite loss"));
    }
    CHECK(steps == 3);
    CHECK(bits(model) == good);
    CHECK(model.counters() == counters);
    CHECK(trainer.progress().step == 2);
    CHECK(trainer.progress().position == before.position);
    CHECK(trainer.progress().sums.loss_sum == before.sums.loss_sum);
    trainer.optimizer().lr = 1e-3;
    CHECK(trainer.epoch(data, [](const LossSums&) { return true; }));
    CHECK(trainer.progress().step == 4);
    trainer.verify_last_update();
  }
}

TEST_CASE("trainer: a last batch of one sample is left out where BatchNorm needs two") {
  using Flat = Sequential<Input<1, 8, 8>, Flatten, Linear<6>, BatchNorm<>, ReLU, Linear<4>>;
  const ImageSet set = quarters(17);
  Made<Flat> model(Seed{5}, 16, device<Device>());
  Trainer trainer(model, Adam{});
  trainer.epoch(ImageData(set));
  CHECK(trainer.skipped() == 1);
  CHECK(trainer.progress().step == 1);
  const float x[64] = {};
  const std::int32_t label = 0;
  CHECK_THROWS_AS(trainer.step(x, &label, 1), Error);
}

TEST_CASE("trainer: a batch may come as a tensor") {
  using Small = Sequential<Input<1, 2, 2>, Flatten, Linear<3>>;
  Tensor<float, Batch, 1, 2, 2> x(2);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(i);
  const std::int32_t labels[] = {0, 2};
  Made<Small> a(Seed{1}, 2, device<Device>()), b(Seed{1}, 2, device<Device>());
  Trainer ta(a, Adam{}), tb(b, Adam{});
  CHECK(ta.step(x.view(), labels).loss() == tb.step(x.data(), labels, 2).loss());
  CHECK(bits(a) == bits(b));
}

TEST_CASE("trainer: wrong arguments are said") {
  using Small = Sequential<Input<4>, Linear<3>>;
  CHECK_THROWS_WITH(Made<Small>(Seed{1}, 0, device<Device>()),
                    "[Model] expected a capacity of at least 1 sample, got 0");
  Made<Small> model(Seed{1}, 2, device<Device>());
  Trainer trainer(model, Adam{});
  const float x[12] = {};
  const std::int32_t labels[] = {0, 3, 0};
  CHECK_THROWS_WITH(trainer.step(x, labels, 3), "[Trainer] expected a batch of 1 to 2 samples, got 3");
  if constexpr (std::is_same_v<Device, Cpu>) {
    CHECK_THROWS_WITH(trainer.step(x, labels, 2), "[CrossEntropy] expected labels from 0 to 2, got 3");
  } else {  // the host does not read labels
    CHECK_THROWS_AS(trainer.step(x, labels, 2), NonFinite);
  }
  CrossEntropy weighted;
  weighted.class_weights = {1, 2};
  const auto weigh = [&] { Trainer(model, Adam{}, weighted).step(x, labels, 1); };
  CHECK_THROWS_WITH(weigh(), "[CrossEntropy] expected 3 class weights, got 2");
  weighted.class_weights = {1, -2, 1};
  CHECK_THROWS_WITH(weigh(), "[CrossEntropy] expected class weights of 0 or above, got -2");
  weighted.class_weights = {};
  weighted.label_smoothing = 1;
  CHECK_THROWS_WITH(weigh(), "[CrossEntropy] expected a label_smoothing from 0 to below 1, got 1");
}

TEST_CASE("trainer: numbers that make no sense are said when it is made") {
  using Small = Sequential<Input<4>, Linear<3>>;
  Made<Small> model(Seed{1}, 2, device<Device>());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto make = [&](auto optimizer, double clip_norm = 0) {
    Trainer(model, optimizer, CrossEntropy{}, {.clip_norm = clip_norm});
  };
  CHECK_THROWS_WITH(make(Adam{-1}), "[Trainer] expected a learning rate of 0 or above, got -1");
  CHECK_THROWS_WITH(make(Sgd{}, nan), "[Trainer] expected a clip_norm of 0 (none) or above, got nan");
  CHECK_THROWS_WITH(make(Adam{.beta2 = 2}), "[Adam] expected beta2 from 0 to below 1, got 2");
  CHECK_THROWS_WITH(make(Adam{.epsilon = 0}), "[Adam] expected an epsilon of 1e-30 or above, got 0");
  CHECK_THROWS_WITH(make(AdamW{.weight_decay = -0.5}), "[AdamW] expected a weight_decay of 0 or above, got -0.5");
  CHECK_THROWS_WITH(make(AnyOptimizer(Sgd{.momentum = -1})), "[Sgd] expected a momentum of 0 or above, got -1");
}

TEST_CASE("trainer: data of other targets than the loss takes are refused") {
  using Small = Sequential<Input<2>, Linear<3>>;
  Made<Small> model(Seed{1}, 2, device<Device>());
  Trainer classes(model, Adam{});
  const Samples<float, std::int32_t> one_hot(std::vector<float>(8, 1), {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0}, 4);
  const char* const said =
      "[Trainer] expected data of 1 targets a sample, as the loss takes, got 3: a label is the number of its class";
  CHECK_THROWS_WITH(classes.epoch(one_hot), said);
  CHECK_THROWS_WITH(classes.evaluate(one_hot), said);
  Trainer values(model, Adam{}, MeanSquaredError<>{});
  const Samples<float, float> too_few(std::vector<float>(8, 1), std::vector<float>(4, 1), 4);
  CHECK_THROWS_WITH(values.epoch(too_few), "[Trainer] expected data of 3 targets a sample, as the loss takes, got 1");
}

TEST_CASE("trainer: images that are not all there are refused") {
  ImageSet set = quarters(5);
  set.labels.pop_back();
  const char* const expected =
      "[ImageData] expected 64 pixels and one label for each of 5 images (or no labels at all), got ";
  CHECK_THROWS_WITH(ImageData(set), std::string(expected) + "320 pixels and 4 labels");
  set = quarters(5);
  set.pixels.pop_back();
  CHECK_THROWS_WITH(ImageData(set), std::string(expected) + "319 pixels and 5 labels");
  static_assert(!std::is_constructible_v<ImageData, ImageSet>);  // a temporary set would no longer exist
  static_assert(std::is_constructible_v<ImageData, ImageSet&>);
  static_assert(std::is_constructible_v<ImageData, ImageData>);
}

TEST_CASE("trainer: regression with samples of one's own") {
  std::vector<float> x, y;
  for (int i = 0; i < 64; ++i) {
    const float a = static_cast<float>(i % 8) / 4 - 1, b = static_cast<float>(i / 8) / 4 - 1;
    x.insert(x.end(), {a, b});
    y.push_back(a * b);
  }
  const Samples<float, float> data(x, y, 64);
  Made<Sequential<Input<2>, Linear<32>, Tanh, Linear<1>>> model(Seed{2}, 16, device<Device>());
  Trainer trainer(model, Adam{0.01}, MeanSquaredError<>{});
  const double before = trainer.evaluate(data).loss();
  for (int epoch = 0; epoch < 100; ++epoch) trainer.epoch(data);
  CHECK(trainer.evaluate(data).loss() < 0.05 * before);
  CHECK_THROWS_AS((Samples<float, float>(x, y, 63)), Error);
}
