// Compares the four models of the programs, as described in docs/models.md, with PyTorch: logits, losses, trained
// weights. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "../../examples/programs/models.hpp"
#include "tenon/optimizers/sgd.hpp"
#include "train/golden.hpp"

using namespace pytorch;

namespace {

/// The same bits as pseudo() of tools/make_golden_models.py: numbers in centre +- scale from a hash of (salt, index).
float pseudo(std::uint32_t index, std::uint32_t salt, double scale, double centre) {
  std::uint32_t x = index + salt * 0x9E3779B9u;
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  x = x ^ (x >> 16);
  return static_cast<float>(centre + (x / 2147483648.0 - 1) * scale);
}

template <class Net>
void fill(Model<Net, Device>& model) {
  auto parameters = on_host(model.device(), model.parameters()), states = on_host(model.device(), model.states());
  std::vector<plan::NamedTensor> sorted = model.tensors();
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (std::size_t k = 0; k < sorted.size(); ++k) {
    const plan::NamedTensor& t = sorted[k];
    const std::string last = t.name.substr(t.name.rfind('.') + 1);
    if (t.kind == plan::NamedTensor::Kind::counter) {
      model.counters()[static_cast<std::size_t>(t.offset)] = 7;
      continue;
    }
    const bool matrix = last == "weight" && t.dims.rank > 1,
               around_one = !matrix && (last == "weight" || last == "running_var");
    const double scale = matrix       ? std::sqrt(6.0 / static_cast<double>(t.dims.count() / t.dims[0]))
                         : around_one ? 0.5
                                      : 0.25;
    float* values = (t.kind == plan::NamedTensor::Kind::parameter ? parameters : states).data() + t.offset;
    for (std::uint32_t i = 0; i < t.dims.count(); ++i)
      values[i] = pseudo(i, static_cast<std::uint32_t>(k) + 1, scale, around_one ? 1 : 0);
  }
  upload(model.device(), parameters.data(), model.parameters().data, parameters.size());
  upload(model.device(), states.data(), model.states().data, states.size());
}

template <class Net>
void check_model() {
  constexpr int batch = 8;
  const SafeTensors file = golden(Net::name);
  Model<Net, Device> model(Seed{1}, batch, device<Device>());
  fill(model);
  std::vector<float> x;
  for (std::uint32_t i = 0; i < batch * Net::input.count(); ++i) x.push_back(pseudo(i, 1000, 1, 0));
  std::vector<std::int32_t> labels;
  for (int b = 0; b < batch; ++b) labels.push_back((3 * b + 1) % 10);
  check_logits(model, x, file, "logits");

  Sgd sgd;
  sgd.lr = 0.002;
  Trainer<Model<Net, Device>, Sgd> trainer(model, sgd);
  check_training(model, trainer, x, labels, file);
}

}  // namespace

TEST_CASE("pytorch: mlp") { check_model<models::Mlp>(); }
TEST_CASE("pytorch: lenet") { check_model<models::Lenet>(); }
TEST_CASE("pytorch: cnn") { check_model<models::Cnn>(); }
TEST_CASE("pytorch: resnet") { check_model<models::Resnet>(); }
