// One unit, compiled as `plain` without flags and as `fast` with flags that allow inexact arithmetic. TENON_UNIT is
// plain or fast. Both use the same types, so the linker keeps only one of the two copies of each function.
// SPDX-License-Identifier: MIT
#include "unit.hpp"

#include <tenon/data/csv.hpp>
#include <tenon/tenon.hpp>

#include <cstring>

using namespace tenon;

using Net = Sequential<Input<2, 8, 8>, Conv2d<8, Kernel<3>, Padding<1>>, BatchNorm<>, ReLU, MaxPool2d<2>, Flatten,
                       Linear<16>, LayerNorm<>, GELU, Dropout<Rate<1, 4>>, Linear<8>, Tanh, Linear<4>>;

static float from_bits(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

static std::uint32_t to_bits(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

namespace TENON_UNIT {

Result run() {
  Result r;
  constexpr int n = 64, values = 128;
  std::vector<float> x(n * values);
  std::vector<std::int32_t> y(n);
  std::uint32_t s = 1;
  for (auto& v : x) s = s * 1664525u + 1013904223u, v = static_cast<float>(s >> 8) / 8388608.0f - 1.0f;
  for (std::size_t i = 0; i < n; ++i)
    y[i] = static_cast<std::int32_t>(i % 4), x[i * values] += static_cast<float>(y[i]);

  Samples<float, std::int32_t> data(x, y, n);
  Model<Net> model(Seed{7}, 16);
  Trainer trainer(model, Adam{0.01}, CrossEntropy{0.1f, {}}, Schedule::cosine(40));
  for (int epoch = 0; epoch < 4; ++epoch) r.losses.push_back(trainer.epoch(data).loss());
  r.losses.push_back(trainer.evaluate(data).loss());

  for (double v = -740; v < 720; v += 3.7) r.functions.push_back(math::exp(v));
  for (double v = 0.0001; v < 1e6; v *= 1.7)
    for (const double f : {math::log(v), math::log1p(v), math::expm1(v * 0x1p-17), math::tanh(v), math::sigmoid(-v),
                           math::erf(v), math::sin(v), math::cos(v), math::pow(v, 1.3), math::pow(0.999, v)})
      r.functions.push_back(f);

  const auto refused = [&](auto&& f) {
    try {
      f();
      r.refused.push_back("not refused");
    } catch (const Error& e) {
      r.refused.push_back(e.what());
    }
  };
  const float nan = from_bits(0x7fc00000), infinity = from_bits(0x7f800000);
  std::vector<float> batch(16 * values, 0.1f);
  batch[3] = nan;
  refused([&] { trainer.step(batch.data(), y.data(), 16); });
  batch[3] = infinity;
  refused([&] { trainer.step(batch.data(), y.data(), 16); });
  for (const float bad : {nan, infinity}) {
    const float good = model.parameters().data[2];
    model.parameters().data[2] = bad;
    refused([&] { save_model("a.safetensors", model); });
    model.parameters().data[2] = good;
  }
  refused([] { parse_csv("1,2\n3,nan\n", "table.csv"); });
  refused([] { parse_csv("1,2\n3,1e999\n", "table.csv"); });
  refused([] { parse_csv("1,2\n3,inf\n", "table.csv"); });

  // NaN is the maximum of a window at any position.
  using Pool = Sequential<Input<8, 4, 4>, MaxPool2d<2>, Conv2d<8, Kernel<1>>, MaxPool2d<2>>;
  Model<Pool> pool(Seed{1}, 16);
  auto images = pool.input(16);
  for (std::size_t i = 0; i < 16 * 128; ++i)
    images.data[i] = i % 16 == i / 128 ? nan : -1.0f;  // NaN at place k of image k
  const auto pooled = pool.predict(16);
  for (std::size_t i = 0; i < pooled.size(); ++i) r.pooled.push_back(to_bits(pooled.data[i]) & 0x7f800000u);
  return r;
}

}  // namespace TENON_UNIT
