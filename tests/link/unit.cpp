// One of two equal units, compiled with different flags and linked in either order. TENON_UNIT is one or two.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

#include <vector>

#define NAME_(unit) unit_##unit
#define NAME(unit) NAME_(unit)

/// Trains a small network for three steps and returns its outputs.
std::vector<float> NAME(TENON_UNIT)() {
  using namespace tenon;
  using Net = Sequential<Input<1, 8, 8>, Conv2d<8, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>,  // (8, 4, 4)
                         Flatten, Linear<16>, GELU, Linear<3>>;
  constexpr int batch = 5;
  Model<Net> model(Seed{7}, batch);
  Trainer trainer(model, Adam{});

  std::vector<float> x(batch * Model<Net>::inputs);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) / 16.0f - 0.5f;
  const std::vector<std::int32_t> labels = {0, 1, 2, 1, 0};
  for (int step = 0; step < 3; ++step) trainer.step(x.data(), labels.data(), batch);

  const auto y = model.predict(batch);
  return {y.data, y.data + y.size()};
}
