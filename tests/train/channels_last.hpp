// Images of several channels are gathered in the network's order, (H, W, C), at once: the same bits as images in PyTorch's
// order, which the network's first step permutes. (On which device: devices.hpp.)
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/tenon.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

// The same data set without a gather in channels-last order.
struct PlanarData : ImageData {
  using ImageData::ImageData;
  static constexpr bool gathers_channels_last = false;
};

ImageSet colors(int count, int channels) {
  ImageSet set{count, channels, 7, 6, {}, {}};
  const random::Key key{11, random::Use::user, 0, 0};
  for (int i = 0; i < count; ++i) {
    for (int p = 0; p < channels * 42; ++p)
      set.pixels.push_back(
          static_cast<std::uint8_t>(key.words(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(p)).v[0]));
    set.labels.push_back(static_cast<std::uint8_t>(i % 5));
  }
  return set;
}

struct Result {
  std::vector<float> parameters, outputs;
  double loss, evaluated;
};

template <class Net, class Data>
Result train(const Data& data, int micro_batches) {
  Model<Net, Device> model(Seed{3}, 16, device<Device>());
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.micro_batches = micro_batches});
  static_assert(Model<Net, Device>::takes_channels_last);
  for (int epoch = 0; epoch < 2; ++epoch) trainer.epoch(data);
  const double loss = trainer.epoch(data).loss();
  const double evaluated = trainer.evaluate(data).loss();
  // The caller's own batch is in PyTorch's order, also after an epoch.
  std::vector<float> x(3 * Model<Net, Device>::inputs);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) / 17;
  const auto y = model.predict(std::span<const float>(x));
  return {on_host(model.device(), std::as_const(model).parameters()), {y.begin(), y.end()}, loss, evaluated};
}

template <class Net>
void same_bits(int channels, int micro_batches) {
  const ImageSet set = colors(53, channels);  // the last batch has 5 images
  const ImageOptions options{.mean = 0.4, .deviation = 0.3, .shift = true, .flip = true};
  const Result a = train<Net>(ImageData(set, options), micro_batches),
               b = train<Net>(PlanarData(set, options), micro_batches);
  CHECK(a.parameters == b.parameters);
  CHECK(a.outputs == b.outputs);
  CHECK(a.loss == b.loss);
  CHECK(a.evaluated == b.evaluated);
}

using Plain = Sequential<Input<3, 7, 6>, Conv2d<6, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>, Flatten, Linear<5>>;
// The permuted input is read twice, and by layers that work in place.
using Branches = Sequential<Input<4, 7, 6>, Residual<BatchNorm<>, ReLU, Conv2d<4, Kernel<3>, Padding<1>>>,
                            Dropout<Rate<1, 4>>, GlobalAvgPool, Linear<5>>;
using InPlace = Sequential<Input<2, 7, 6>, Dropout<Rate<1, 4>>, ReLU, Conv2d<6, Kernel<3>>, GlobalAvgPool, Linear<5>>;

}  // namespace

TEST_CASE("channels last: the same bits as with images in PyTorch's order") {
  same_bits<Plain>(3, 1);
  same_bits<Branches>(4, 1);
  same_bits<InPlace>(2, 2);
}

TEST_CASE("channels last: one channel has one order") {
  STATIC_REQUIRE(
      !Model<Sequential<Input<1, 7, 6>, Conv2d<2, Kernel<3>>, Flatten, Linear<5>>, Device>::takes_channels_last);
}

TEST_CASE("channels last: the caller's batch before prepare() is kept, and a NaN is found in the right layer") {
  const ImageSet set = colors(32, 3);
  const ImageData data(set);
  Model<Plain, Device> model(Seed{3}, 16, device<Device>());
  Trainer trainer(model, Adam{1e-3});
  const std::vector<float> x(16 * 126, 0.5f);
  upload(model.device(), x.data(), model.input(16).data, x.size());
  const auto before = on_host(model.device(), Span<const float>{model.predict(16).data, 16 * 5});
  trainer.prepare(data);
  CHECK(before == on_host(model.device(), Span<const float>{model.predict(16).data, 16 * 5}));

  trainer.epoch(data);
  put(model.device(), model.parameters(), model.tensors()[2].offset, std::numeric_limits<float>::quiet_NaN());
  CHECK(model.tensors()[2].name == "4.weight");
  try {
    trainer.epoch(data);
    FAIL("expected NonFinite");
  } catch (const NonFinite& e) {
    CHECK_THAT(e.what(), ContainsSubstring("Linear"));
  }
}
