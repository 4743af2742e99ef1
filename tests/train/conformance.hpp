// The contracts of layers, losses, optimizers and data sets: a part that a user writes as documented trains to the same
// bits by epoch(), by step() and with separate forward, backward and update, and, on a device that records steps,
// recorded or not. Each of the user's parts here depends on a number that changes from step to step. Runs on any device
// (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <tenon/tenon.hpp>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"

namespace users {

using tenon::Batch;
using tenon::Span;
using tenon::View;

/// In training, adds noise in [-0.5, 0.5), drawn anew for each sample of each step.
struct Noise {
  static constexpr const char* name = "Noise";
  static constexpr tenon::LayerSpec infer(tenon::Dims in) { return tenon::LayerSpec::to(in).draws_random_numbers(); }

  template <class T, class Step>
  struct Noisy {
    Step step;
    std::uint32_t layer;
    const T* x;
    std::size_t sample;
    TENON_HD T operator()(std::size_t i) const {
      const auto key = step->key(tenon::random::Use::user, layer);
      const std::uint32_t word =
          key.words(step->first_sample + i / sample, static_cast<std::uint32_t>(i % sample)).v[0];
      return x[i] + static_cast<T>(tenon::random::unit(word) - 0.5f);
    }
  };
  template <class T>
  struct Same {
    const T* dy;
    TENON_HD T operator()(std::size_t i) const { return dy[i]; }
  };

  static void forward(auto& dev, const auto& at) {
    using T = typename std::decay_t<decltype(at)>::value_type;
    if constexpr (std::decay_t<decltype(at)>::training)
      elementwise(dev, at.y,
                  Noisy<T, decltype(at.step())>{at.step(), at.layer, at.x.data, static_cast<std::size_t>(at.x.sample)});
    else
      elementwise(dev, at.y, Same<T>{at.x.data});
  }
  static void backward(auto& dev, const auto& at) {
    using T = typename std::decay_t<decltype(at)>::value_type;
    elementwise(dev, at.dx, Same<T>{at.dy.data});
  }
};

/// velocity = 0.9 velocity + scale g; w -= rate (sign(velocity) + decay w). The rate decreases with the step number.
struct SignDescent {
  static constexpr const char* name = "sign_descent";
  static constexpr int states = 1;
  static constexpr const char* state_names[states] = {"velocity"};

  double lr = 1e-2;
  double decay = 1e-3;

  bool operator==(const SignDescent&) const = default;
  bool decays_everything() const { return false; }

  template <class T, class Step>
  struct Velocity {
    Step step;
    const T *g, *was;
    TENON_HD T operator()(std::size_t i) const {
      return step->stopped ? was[i] : T(0.9) * was[i] + static_cast<T>(step->gradient_scale) * g[i];
    }
  };
  template <class T, class Step>
  struct Weight {
    Step step;
    const T *velocity, *was;
    T decay;
    TENON_HD T operator()(std::size_t i) const {
      if (step->stopped) return was[i];
      const T rate = static_cast<T>(step->learning_rate / (1 + 0.1 * step->step)), v = velocity[i];
      return was[i] - rate * (static_cast<T>((v > 0) - (v < 0)) + decay * was[i]);
    }
  };

  template <class T>
  void update(auto& dev, auto step, Span<T> w, Span<const T> g, Span<T>* state, bool decays) const {
    const View<T, Batch, 1> velocity(state[0].data, static_cast<int>(w.size)),
        weights(w.data, static_cast<int>(w.size));
    elementwise(dev, velocity, Velocity<T, decltype(step)>{step, g.data, state[0].data});
    elementwise(dev, weights,
                Weight<T, decltype(step)>{step, state[0].data, w.data, static_cast<T>(decays ? decay : 0)});
  }
};

}  // namespace users

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr int samples = 44, capacity = 8;  // five full batches and one of 4 samples

Samples<float, std::int32_t> some_samples() {
  std::vector<float> x(samples * 6);
  std::vector<std::int32_t> y(samples);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  for (int b = 0; b < samples; ++b)
    y[static_cast<std::size_t>(b)] = x[static_cast<std::size_t>(b * 6)] > 0 ? 1 : b % 3 == 0 ? 2 : 0;
  return {std::move(x), std::move(y), samples};
}

/// The same samples, written by the host batch by batch, so that steps on them are not recorded.
struct Streamed {
  using Target = std::int32_t;
  std::vector<float> x;
  std::vector<std::int32_t> y;

  std::uint64_t size() const { return y.size(); }
  template <int I>
  void read(const StepState& step, Pass pass, View<float, Batch, I> to, Target* targets) const {
    const random::Permutation order{step.epoch_key(random::Use::shuffle), size()};
    for (int b = 0; b < to.batch; ++b) {
      const std::uint64_t position = step.first_sample + static_cast<std::uint64_t>(b);
      const std::size_t from = static_cast<std::size_t>(pass == Pass::training ? order(position) : position);
      std::copy_n(x.data() + from * I, I, to.row(b));
      targets[b] = y[from];
    }
  }
};
Streamed some_streamed() {
  Streamed s;
  s.x.resize(samples * 6);
  s.y.resize(samples);
  for (std::size_t i = 0; i < s.x.size(); ++i) s.x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  for (int b = 0; b < samples; ++b)
    s.y[static_cast<std::size_t>(b)] = s.x[static_cast<std::size_t>(b * 6)] > 0 ? 1 : b % 3 == 0 ? 2 : 0;
  return s;
}

// The weights after three epochs, and the loss of each epoch and of the evaluation.
template <class Net, class Optimizer, class Data>
struct Course {
  std::vector<float> weights;
  std::vector<double> losses;
  double first_batch = 0, second_batch = 0;

  Course(const Optimizer& optimizer, const Data& data, int steps_per_launch) {
    Model<Net, Device> model(Seed{5}, capacity, device<Device>());
    Trainer trainer(model, optimizer, CrossEntropy{},
                    {.schedule = Schedule::cosine(18), .clip_norm = 0.5, .steps_per_launch = steps_per_launch});
    for (int e = 0; e < 3; ++e) losses.push_back(trainer.epoch(data).loss());
    losses.push_back(trainer.evaluate(data).loss());
    weights = on_host(model.device(), model.parameters());
  }
};

template <class Net, class Optimizer>
void runs_alike(const Optimizer& optimizer) {
  const auto resident = some_samples();
  const auto streamed = some_streamed();
  const Course<Net, Optimizer, Samples<float, std::int32_t>> launched_64(optimizer, resident, 64),
      launched_1(optimizer, resident, 1);
  const Course<Net, Optimizer, Streamed> step_by_step(optimizer, streamed, 64);
  CHECK(launched_64.weights == launched_1.weights);
  CHECK(launched_64.losses == launched_1.losses);
  CHECK(launched_64.weights == step_by_step.weights);
  CHECK(launched_64.losses == step_by_step.losses);
  CHECK(launched_64.losses[2] < launched_64.losses[0]);
}

using Plain = Sequential<Input<6>, Linear<12>, ReLU, Linear<3>>;
using Noised = Sequential<Input<6>, Linear<12>, users::Noise, ReLU, Linear<3>>;
using Dropped = Sequential<Input<6>, Linear<12>, ReLU, Dropout<Rate<1, 4>>, Linear<3>>;
using Normed = Sequential<Input<6>, Linear<12>, BatchNorm<>, ReLU, Linear<3>>;

}  // namespace

TEST_CASE("conformance: the library's optimizers") {
  runs_alike<Plain>(Sgd{0.1});
  runs_alike<Plain>(Adam{1e-2});
  runs_alike<Normed>(AdamW{1e-2});
}

TEST_CASE("conformance: a user's optimizer trains, recorded or not") { runs_alike<Plain>(users::SignDescent{2e-2}); }

TEST_CASE("conformance: a user's random layer, and Dropout") {
  runs_alike<Noised>(Sgd{0.1});
  runs_alike<Dropped>(users::SignDescent{2e-2});
}

TEST_CASE("conformance: random numbers differ from batch to batch, however the steps are run") {
  Model<Sequential<Input<6>, users::Noise, Linear<6>>, Device> model(Seed{5}, 4, device<Device>());
  const std::vector<float> x(24, 1.f);
  std::vector<std::vector<float>> seen;
  const auto look = [&](const auto& y) {
    seen.push_back(on_host(model.device(), Span<const float>{y.data, y.size()}));
  };
  for (int i = 0; i < 3; ++i) look(model.forward(x));  // with the model only
  Trainer trainer(model, Sgd{.lr = 0}, MeanSquaredError{}, {.micro_batches = 2});
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; k < 2; ++k) {  // the micro-batches of an update
      look(trainer.forward(x));
      if (k == 0)
        trainer.accumulate(x);
      else
        trainer.accumulate(OutputGradient{x}, 4);
    }
    trainer.update();
  }
  for (int i = 0; i < 3; ++i) {  // complete steps
    look(trainer.forward(x));
    trainer.backward(x);
    trainer.update();
  }
  // The trainer starts with the first sample, as the model did.
  CHECK(seen[3] == seen[0]);
  CHECK(seen[4] == seen[1]);
  CHECK((seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]));
  seen.erase(seen.begin(), seen.begin() + 3);
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}
