// Comparison with PyTorch's results in tests/golden/torch_*.safetensors, which tools/make_golden_models.py makes.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"
#include "files.hpp"
#include "tenon/io/safetensors.hpp"
#include "tenon/predict.hpp"
#include "tenon/train/trainer.hpp"

namespace pytorch {

using namespace tenon;
using namespace tenon::tests;

// Sums of up to 3136 products in another order: 1e-5 is 84 units in the last place of a logit near 1. The promise to
// users is 1e-4. Cuda adds in yet another order and comes to 1.06e-5 in a resnet's logits. A step of training moves a
// weight by the rate times a gradient as exact as a logit, or, with Adam, by a quotient of two; four of them stay within
// the same bound.
constexpr double bound = std::is_same_v<Device, Cpu> ? 1e-5 : 2e-5;

inline SafeTensors golden(const std::string& name) {
  return SafeTensors::open(TENON_TESTS_DIR "/golden/torch_" + name + ".safetensors");
}

/// The largest difference, relative to values above 1; infinity where one is no number.
inline double distance(const float* ours, const std::vector<float>& theirs) {
  double d = 0;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    const double e = std::abs(double{ours[i]} - theirs[i]) / std::max(1.0, std::abs(double{theirs[i]}));
    d = e <= d ? d : std::isnan(e) ? INFINITY : e;
  }
  return d;
}

template <class Target>
std::vector<Target> targets_of(const SafeTensors& file) {
  if constexpr (std::is_same_v<Target, float>)
    return file.read_as<float>("targets");
  else {
    const auto wide = file.read_as<std::int64_t>("targets");
    return {wide.begin(), wide.end()};
  }
}

/// Logits in eval mode, by the model, which stays as it was.
template <class Model>
void check_logits(Model& model, const std::vector<float>& x, const SafeTensors& file, const char* name) {
  const auto theirs = file.read_as<float>(name);
  const int batch = static_cast<int>(x.size() / Model::inputs);
  upload(model.device(), x.data(), model.input(batch).data, x.size());
  const auto y = model.predict(batch);
  const auto ours = on_host(model.device(), Span<const float>{y.data, y.size()});
  REQUIRE(ours.size() == theirs.size());
  INFO(name);
  CHECK(distance(ours.data(), theirs) <= bound);
}

/// Steps on one batch again and again: losses, and then every tensor. after.NAME may hold fewer values, evenly spaced.
template <class Model, class Trainer, class Target>
void check_training(Model& model, Trainer& trainer, const std::vector<float>& x, const std::vector<Target>& targets,
                    const SafeTensors& file) {
  for (const float loss : file.read_as<float>("losses")) {
    const double ours = trainer.step(x.data(), targets.data(), static_cast<int>(x.size() / Model::inputs)).loss();
    CHECK(std::abs(ours - loss) <= bound);
  }
  const auto parameters = on_host(model.device(), model.parameters()), states = on_host(model.device(), model.states());
  for (const plan::Tensor& t : model.tensors()) {
    INFO(t.name);
    if (t.kind == plan::Tensor::Kind::counter) {
      CHECK(model.counters()[static_cast<std::size_t>(t.offset)] == file.read_as<std::int64_t>("after." + t.name)[0]);
      continue;
    }
    const auto theirs = file.read_as<float>("after." + t.name);
    const float* all = (t.kind == plan::Tensor::Kind::parameter ? parameters : states).data() + t.offset;
    std::vector<float> ours;
    for (std::size_t i = 0; i < theirs.size(); ++i)
      ours.push_back(all[i * static_cast<std::size_t>(t.dims.count()) / theirs.size()]);
    CHECK(distance(ours.data(), theirs) <= bound);
  }
  check_logits(model, x, file, "after_logits");
}

/// All of that for a network, with a file that holds its tensors, inputs and targets as well.
template <class Net, class Optimizer, class Loss = CrossEntropy>
void check_network(const char* name, Optimizer optimizer, Loss loss = {}, TrainerOptions options = {}) {
  const SafeTensors file = golden(name);
  const auto x = file.read_as<float>("input");
  Model<Net, Device> model(Seed{1}, 8, device<Device>());
  const std::string besides[] = {"input", "targets", "logits", "losses", "after"};
  auto parameters = on_host(model.device(), model.parameters()), states = on_host(model.device(), model.states());
  const Flat<float> flat{parameters.data(), states.data(), model.counters().data()};
  read_tensors<float>(file, model.tensors(), flat, besides);
  upload(model.device(), parameters.data(), model.parameters().data, parameters.size());
  upload(model.device(), states.data(), model.states().data, states.size());
  check_logits(model, x, file, "logits");

  std::vector<TensorInfo> tensors;
  list_tensors<float>(model.tensors(), flat, tensors);
  Predictor<Net, Device> predictor(Weights<Net, Device>::load(to_safetensors(tensors, {}), "memory", device<Device>()),
                                   8, device<Device>());
  CHECK(distance(predictor(x.data(), 8).data(), file.read_as<float>("logits")) <= bound);

  // What we write is what PyTorch wrote, to the byte, so it reads ours as it reads its own.
  const std::size_t own = tensors.size();
  for (const TensorInfo& t : file.tensors()) {
    const bool listed = std::any_of(tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(own),
                                    [&](const auto& o) { return o.name == t.name; });
    if (!listed) tensors.push_back(t);
  }
  CHECK(text_of(to_safetensors(tensors, file.metadata())) == get(file.where()));

  Trainer<Model<Net, Device>, Optimizer, Loss> trainer(model, optimizer, loss, {}, options);
  check_training(model, trainer, x, targets_of<typename Loss::Target>(file), file);
}

}  // namespace pytorch
