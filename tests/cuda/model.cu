// Model and Trainer on Cuda: the same losses as the Cpu from the same seed, the same bits every time, recorded or step by
// step, stopped and resumed; and files that move between both.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/tenon.hpp>

#include "cuda/support.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

// What a step may be made of: convolution with pool and Flatten, batch statistics, a residual, dropout, a short last batch.
using Net = Sequential<Input<1, 8, 8>, Conv2d<6, Kernel<3>, Padding<1>>, BatchNorm<>, ReLU, MaxPool2d<2>,
                       Residual<Conv2d<6, Kernel<3>, Padding<1>>, ReLU>, Flatten, Linear<20>, ReLU, Dropout<Rate<1, 4>>,
                       Linear<4>>;

struct Set {
  int count = 0, channels = 1, height = 8, width = 8;
  std::vector<std::uint8_t> pixels, labels;
};

// Images whose class is the quarter that is bright.
Set quarters(int count) {
  Set s;
  s.count = count;
  for (int i = 0; i < count; ++i) {
    const random::Four r = random::Key{9, random::Use::user, 0, 0}.words(static_cast<std::uint64_t>(i), 0);
    const int label = static_cast<int>(r.v[0] % 4);
    s.labels.push_back(static_cast<std::uint8_t>(label));
    for (int y = 0; y < 8; ++y)
      for (int x = 0; x < 8; ++x) {
        const random::Four n = random::Key{9, random::Use::user, 1, 0}.words(static_cast<std::uint64_t>(i),
                                                                             static_cast<std::uint32_t>(y * 8 + x));
        const bool bright = (y / 4) * 2 + x / 4 == label;
        s.pixels.push_back(static_cast<std::uint8_t>(n.v[0] % 100 + (bright ? 100 : 0)));
      }
  }
  return s;
}

const ImageOptions augmented{0.5, 0.25, true, true};

template <class T>
std::vector<T> on_host(const Cuda& dev, Span<T> span) {
  std::vector<T> v(span.size);
  download(dev, span.data, v.data(), v.size());
  return v;
}

struct Course {
  std::vector<double> losses;
  std::vector<float> weights;
};

template <class Device, class Optimizer>
Course steps_of(Device dev, const Set& set, Optimizer optimizer, int epochs, int steps_a_launch) {
  Model<Net, Device> model(Seed{5}, 16, std::move(dev));
  Trainer trainer(model, optimizer, CrossEntropy{}, Schedule::one_cycle(30), {1.0, steps_a_launch});
  const ImageData data(set, augmented);
  Course c;
  for (int e = 0; e < epochs; ++e)
    trainer.epoch(data, [&](const LossSums& s) {
      c.losses.push_back(s.loss());
      return true;
    });
  c.weights.resize(model.parameters().size);
  download(model.device(), model.parameters().data, c.weights.data(), c.weights.size());
  CHECK(model.counters()[0] == static_cast<long long>(trainer.progress().step));
  return c;
}

}  // namespace

TEST_CASE("cuda: a training has the losses of the Cpu") {
  const Set set = quarters(107);  // 16 does not divide it
  const auto check = [&](auto optimizer) {
    const Course cpu = steps_of(Cpu{}, set, optimizer, 2, 1), gpu = steps_of(cuda(), set, optimizer, 2, 1);
    REQUIRE(cpu.losses.size() == 14);
    REQUIRE(gpu.losses.size() == 14);
    for (std::size_t i = 0; i < 8; ++i) CHECK(gpu.losses[i] == Approx(cpu.losses[i]).epsilon(1e-4));
    for (std::size_t i = 0; i < 14; ++i) CHECK(gpu.losses[i] == Approx(cpu.losses[i]).epsilon(1e-2));
  };
  check(AdamW{});
  check(Sgd{0.05, 0.9, true, 1e-3});
}

TEST_CASE("cuda: the same bits every time, and whatever is launched as one") {
  const Set set = quarters(107);
  CHECK(same_bits_always([&] { return steps_of(cuda(), set, AdamW{}, 1, 4).weights; }));
  const auto one = steps_of(cuda(), set, AdamW{}, 2, 1).weights;
  CHECK(steps_of(cuda(), set, AdamW{}, 2, 4).weights == one);
  CHECK(steps_of(cuda(), set, AdamW{}, 2, 64).weights == one);
}
