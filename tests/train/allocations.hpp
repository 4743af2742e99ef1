// After a model is constructed, nothing is allocated: not in a step, an epoch, an evaluation or a prediction, neither
// on the host nor on the device. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/predict.hpp>
#include <tenon/tenon.hpp>

#include <cmath>
#include <cstdlib>

#include "../../examples/programs/models.hpp"
#include "catch.hpp"
#include "devices.hpp"
#include "train/watch_malloc.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

/// Counts the allocations since this object was constructed.
class Allocations {
 public:
  long host_since() const { return host_allocations - host_; }
  long device_since() const { return device_allocations<Device>() - device_; }

 private:
  long host_ = host_allocations, device_ = device_allocations<Device>();
};

/// Enough images for an epoch of several batches and a short last one. The images are noise with dark areas, so that
/// ReLU and pooling give zeros and every path of a convolution is taken.
struct Set {
  int count = many<Device>(37, 7), channels = 1, height = 28, width = 28;
  std::vector<std::uint8_t> pixels, labels;

  Set() {
    for (int i = 0; i < count; ++i) labels.push_back(static_cast<std::uint8_t>(i % 10));
    for (int i = 0; i < count * 784; ++i) {
      const auto bits = random::Key{3, random::Use::user, 0, 0}.words(static_cast<std::uint64_t>(i), 0).v[0];
      pixels.push_back(static_cast<std::uint8_t>(i / 200 % 3 ? bits % 256 : 0));
    }
  }
};

/// Calls f(device); on the Cpu with both instruction sets, each with one and two threads.
template <class F, class D = Device>
void on_every_device(F f) {
  if constexpr (std::is_same_v<D, Cpu>) {
    for (const Isa isa : {Isa::portable, detect_isa()})
      for (const int threads : {1, 2}) {
        INFO((isa == Isa::portable ? "portable, " : "avx2, ") << threads << " threads");
        D dev = device<D>(threads);
        dev.set_isa(isa);
        f(std::move(dev));
      }
  } else {
    f(device<D>());
  }
}

template <class Net>
void watch_steps(int steps) {
  on_every_device([&](Device dev) {
    constexpr int batch = 5;
    Model<Net, Device> model(Seed{1}, batch, std::move(dev));
    Trainer trainer(model, Adam{});
    std::vector<float> x(batch * 784, 0.25f);
    const std::vector<std::int32_t> labels = {1, 2, 3, 4, 5};
    if constexpr (!std::is_same_v<Device, Cpu>) {  // the first launch of a kernel may allocate
      trainer.step(x.data(), labels.data(), batch);
      model.predict(batch);
    }
    const Allocations before;
    for (int i = 0; i < many<Device>(steps, 3); ++i) trainer.step(x.data(), labels.data(), batch - i % 2);
    model.predict(batch);
    CHECK(before.host_since() == 0);
    CHECK(before.device_since() == 0);
  });
}

template <class Net, class Optimizer>
void watch_epochs(const Optimizer& optimizer) {
  on_every_device([&](Device dev) {
    const Set set;
    const ImageData data(set, {0.5, 0.25, true, true}), test(set, {0.5, 0.25});
    Model<Net, Device> model(Seed{1}, many<Device>(16, 3), std::move(dev));
    Trainer trainer(model, optimizer, CrossEntropy{},
                    {.schedule = Schedule::one_cycle(600), .clip_norm = 1.0, .steps_per_launch = 1});
    if constexpr (!std::is_same_v<Device, Cpu>) {  // the first use of a data set records the steps
      trainer.epoch(data);
      static_cast<void>(trainer.evaluate(test));
    }
    int steps = 0, batches = 0;
    const Allocations before;
    for (int epoch = 0; epoch < 2; ++epoch) {
      trainer.epoch(data, [&](const LossSums&) { return ++steps < 1000; });
      trainer.evaluate(test, [&](std::uint64_t, const auto&) { return ++batches < 1000; });
    }
    static_cast<void>(trainer.evaluate(test));
    CHECK(before.host_since() == 0);
    CHECK(before.device_since() == 0);
    CHECK(steps == 6);
    CHECK(batches == 6);
  });
}

template <class Net>
void watch_predictions(int calls) {
  Model<Net, Device> model(Seed{1}, 1, device<Device>());
  std::vector<TensorInfo> list;
  auto parameters = on_host(model.device(), model.parameters()), states = on_host(model.device(), model.states());
  list_tensors<float>(model.tensors(), {parameters.data(), states.data(), model.counters().data()}, list);
  const auto weights = Weights<Net, Device>::load(to_safetensors(list, {}), "memory", device<Device>());
  const Device by_hand = device<Device>();
  const Set set;
  std::vector<float> x(4 * 784);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(set.pixels[i]) / 255;
  on_every_device([&](Device dev) {
    Predictor<Net, Device> predict(weights, 4, std::move(dev));
    float sum = 0;
    const Allocations before;  // includes the first call
    for (int i = 0; i < many<Device>(calls, 4); ++i) sum += predict(x.data(), 1 + i % 4)[0];
    upload(by_hand, x.data(), predict.input().data(), x.size());
    sum += predict.run(4)[0];
    CHECK(before.host_since() == 0);
    CHECK(before.device_since() == 0);
    CHECK(std::isfinite(sum));
  });
}

}  // namespace

TEST_CASE("allocations: the watch works") {
#if !WATCHED && !defined(__CUDACC__)
  skip_test("malloc cannot be watched in this build");
#else
  static_cast<void>(device<Device>());  // the first call opens the device
  const Allocations before;
#if WATCHED
  void* volatile kept = ::operator new(100);  // volatile, so that a compiler cannot remove the allocation
  ::operator delete(kept);
  kept = std::malloc(10);
  std::free(kept);
  CHECK(before.host_since() == 2);
#endif
  const auto memory = on_device(device<Device>(), std::vector<float>(1 << 20));
  CHECK(before.device_since() == (std::is_same_v<Device, Cpu> ? 0 : 1));
#endif
}

TEST_CASE("allocations: none in a step") {
  watch_steps<models::Mlp>(100);
  watch_steps<models::Lenet>(100);
  watch_steps<models::Cnn>(25);
  watch_steps<models::Resnet>(100);
}

TEST_CASE("allocations: none in an epoch, nor in an evaluation") {
  watch_epochs<models::Mlp>(Sgd{});
  watch_epochs<models::Cnn>(AdamW{});
  watch_epochs<models::Resnet>(Adam{});
}

TEST_CASE("allocations: none in a prediction") {
  watch_predictions<models::Mlp>(20);
  watch_predictions<models::Lenet>(20);
  watch_predictions<models::Cnn>(20);
  watch_predictions<models::Resnet>(20);
}
