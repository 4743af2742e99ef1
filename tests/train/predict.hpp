// Predictor: the same numbers as those of the model, loaded from a file or from memory, with weights shared by threads.
// Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/predict.hpp>
#include <tenon/tenon.hpp>
#include <tenon/train/checkpoint.hpp>

#include <cstring>
#include <limits>
#include <thread>

#include "catch.hpp"
#include "devices.hpp"
#include "files.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Net =
    Sequential<Input<2, 8, 8>, Conv2d<6, Kernel<3>, Padding<1>>, BatchNorm<>, ReLU, MaxPool2d<2>,
               Residual<Conv2d<6, Kernel<3>, Padding<1>>, GELU>, Flatten, Linear<20>, SiLU, Dropout<>, Linear<4>>;

using Made = Model<Net, Device>;
using Loaded = Weights<Net, Device>;

typename Loaded::Shared load(std::span<const std::byte> bytes) {
  return Loaded::load(bytes, "memory", device<Device>());
}
Predictor<Net, Device> predictor(typename Loaded::Shared weights, int capacity = 1) {
  return Predictor<Net, Device>(std::move(weights), capacity, device<Device>());
}

std::vector<std::byte> bytes_of_a_trained(Made& model) {
  Trainer trainer(model, Adam{0.01});
  std::vector<float> x(16 * 128);
  std::vector<std::int32_t> labels(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 31 % 23) / 11 - 1;
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 4);
  for (int i = 0; i < 5; ++i) trainer.step(x.data(), labels.data(), 16);
  std::vector<TensorInfo> list;
  auto parameters = on_host(model.device(), model.parameters()), states = on_host(model.device(), model.states());
  list_tensors<float>(model.tensors(), {parameters.data(), states.data(), model.counters().data()}, list);
  return to_safetensors(list, {{"name", "test"}});
}

}  // namespace

TEST_CASE("predict: equals the model, whatever the batch", "[smoke]") {
  Made model(Seed{4}, 16, device<Device>());
  const auto weights = load(bytes_of_a_trained(model));
  CHECK(weights->metadata().at("name") == "test");
  std::vector<float> x(16 * 128);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7 % 13) / 6 - 1;
  upload(model.device(), x.data(), model.input(16).data, x.size());
  const auto y = model.predict(16);
  const auto expected = on_host(model.device(), Span<const float>{y.data, y.size()});

  auto whole = predictor(weights, 16), single = predictor(weights);
  const auto all = whole(x.data(), 16);
  CHECK(std::memcmp(all.data(), expected.data(), expected.size() * sizeof(float)) == 0);
  for (int b = 0; b < 16; ++b) {
    const auto one = single(x.data() + b * 128);
    for (std::size_t o = 0; o < 4; ++o)
      CHECK(one[o] == Approx(expected[static_cast<std::size_t>(b) * 4 + o]).margin(1e-5));
  }
}

TEST_CASE("predict: threads share weights") {
  Made model(Seed{4}, 16, device<Device>());
  const auto weights = load(bytes_of_a_trained(model));
  const std::vector<float> x(128, 0.3f);
  auto reference = predictor(weights);
  const auto y = reference(x.data());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      // Has a separate device: on Cuda, a stream that no other thread waits for.
      Predictor<Net, Device> predict(weights);
      for (int i = 0; i < many<Device>(200, 5); ++i)
        wrong[t] += std::memcmp(predict(x.data()).data(), y.data(), y.size_bytes()) != 0;
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("predict: a checkpoint is read, a file with other tensors is not") {
  const Folder folder;
  Made model(Seed{4}, 16, device<Device>());
  const auto bytes = bytes_of_a_trained(model);
  const std::vector<float> x(128, 0.3f);
  auto from_model = predictor(load(bytes));
  const auto y = from_model(x.data());
  save_checkpoint(folder / "checkpoint", Trainer(model, Adam{}));
  auto from_checkpoint = predictor(Loaded::load(folder / "checkpoint", device<Device>()));
  CHECK(std::memcmp(from_checkpoint(x.data()).data(), y.data(), y.size_bytes()) == 0);

  const SafeTensors file = SafeTensors::parse(bytes, "model");
  std::vector<TensorInfo> deeper(file.tensors().begin(), file.tensors().end());
  deeper.push_back(deeper.front());
  deeper.back().name = "99.weight";
  CHECK_THROWS_WITH(Loaded::load(to_safetensors(deeper, {}), "deeper", device<Device>()),
                    "[load_model] expected the tensors of the model alone, got \"99.weight\" as well (deeper)");
}

TEST_CASE("predict: bad weights are said, and wrong calls") {
  Made model(Seed{4}, 16, device<Device>());
  auto bytes = bytes_of_a_trained(model);
  using Other = Sequential<Input<2, 8, 8>, Flatten, Linear<4>>;
  CHECK_THROWS_WITH((Weights<Other, Device>::load(bytes, "memory", device<Device>())),
                    ContainsSubstring("expected tensor \"1.weight\" of shape (4, 128), got (6,)"));
  const auto weights = load(bytes);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + bytes.size() - 64, &nan, sizeof nan);
  CHECK_THROWS_WITH(load(bytes), ContainsSubstring("got NaN or infinity"));
  bytes.resize(bytes.size() - 1);
  CHECK_THROWS_AS(load(bytes), Error);
  CHECK_THROWS_AS(Loaded::load("/nowhere/model.safetensors", device<Device>()), Error);
  CHECK_THROWS_WITH(predictor(weights, 0), "[Predictor] expected a capacity of at least 1 sample, got 0");
  CHECK_THROWS_WITH(predictor(nullptr), "[Predictor] expected weights, got a null pointer");
  auto predict = predictor(weights, 2);
  CHECK_THROWS_WITH(predict.run(3), "[Predictor] expected a batch of 1 to 2 samples, got 3");
}

namespace {

struct ScaledByStep {
  static constexpr const char* name = "ScaledByStep";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  template <class Step>
  struct Scale {
    const float* x;
    Step step;
    TENON_HD float operator()(std::size_t i) const { return x[i] * static_cast<float>(1 + step->step); }
  };
  static void forward(auto& dev, const auto& at) {
    elementwise(dev, at.y, Scale<std::remove_cvref_t<decltype(at.step())>>{at.x.data, at.step()});
  }
  static void backward(auto& dev, const auto& at) {
    elementwise(dev, at.dx, Scale<std::remove_cvref_t<decltype(at.step())>>{at.dy.data, at.step()});
  }
};

}  // namespace

TEST_CASE("predict: a layer may read the step state, which is zero in a predictor") {
  using Scaled = Sequential<Input<4>, Linear<3>, ScaledByStep>;
  Model<Scaled, Device> model(Seed{1}, 2, device<Device>());
  Predictor<Scaled, Device> predict(model.weights(), 1, device<Device>());
  const std::vector<float> x{1, 2, 3, 4};
  const auto y = predict(x.data());
  const auto expected = model.predict(std::span<const float>(x));
  CHECK(std::vector<float>(y.begin(), y.end()) == std::vector<float>(expected.begin(), expected.end()));
}
