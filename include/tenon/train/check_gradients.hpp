// check_gradients: compares every gradient of a network with central differences, in double precision. For the layers
// of this library and for yours alike:
//   const GradientCheck c = check_gradients<Sequential<Input<7>, Swish, Linear<3>>>();
//   CHECK(c.worst < 1e-6);                     c.where says which value it was
//   check_gradients<Net>(options, Cuda{})      the same on another device
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tenon/train/model.hpp"

namespace tenon {

struct GradientCheck {
  double worst = 0;   // the largest |computed - expected| / max(1, |computed|, |expected|)
  std::string where;  // "2.weight[17]" or "input[3]"
  double computed = 0, expected = 0;
  long long compared = 0;  // values
};

struct GradientCheckOptions {
  std::uint64_t seed = 1;
  int batch = 3;
  double step = 1e-5;    // of the central difference
  long long most = 400;  // values compared in each tensor, spread evenly; all of them if it has no more
};

/// The loss is the outputs' sum, each weighted by a random number; parameters and inputs are random, too. Two forward
/// passes on `device` for each value compared.
template <class Net, class Device = Cpu>
GradientCheck check_gradients(GradientCheckOptions options = {}, Device device = Device{}) {
  using M = Model<Net, Device, Fp64, plan::Mode::train_with_input_gradient>;
  M model(Seed{options.seed}, options.batch, std::move(device));
  auto& dev = model.device();
  const auto draw = [&](std::uint32_t what, std::uint64_t i) {
    const random::Key key{options.seed, random::Use::user, what, 0};
    return 2.0 * random::unit(key.words(i, 0).v[0]) - 1.0;
  };
  const auto on_host = [&](const double* from, std::size_t n) {
    std::vector<double> v(n);
    download(dev, from, v.data(), n);
    return v;
  };
  std::vector<double> sample(model.input(options.batch).size());
  for (std::size_t i = 0; i < sample.size(); ++i) sample[i] = draw(1, i);
  // Constant starts (BatchNorm's 1 and 0) would hide mistakes.
  const auto parameters = model.parameters();
  std::vector<double> values = on_host(parameters.data, parameters.size);
  for (const plan::Tensor& t : model.tensors())
    if (t.kind == plan::Tensor::Kind::parameter && t.initial.kind == Initial::Kind::constant)
      for (long long i = t.offset; i < t.offset + t.dims.count(); ++i)
        values[static_cast<std::size_t>(i)] += 0.5 * draw(2, static_cast<std::uint64_t>(i));
  upload(dev, values.data(), parameters.data, values.size());

  kernels::ForHost<Device, double> outputs(static_cast<std::size_t>(options.batch) * M::outputs);
  const auto loss = [&] {
    // Each time: the memory of the input may have been reused.
    upload(dev, sample.data(), model.input(options.batch).data, sample.size());
    const auto y = model.forward(options.batch);
    const double* const here = outputs(dev, y.data, y.size());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += here[i] * draw(3, i);
    return sum;
  };
  loss();
  const auto dy = model.output_gradient();
  std::vector<double> weights(dy.size());
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = draw(3, i);
  upload(dev, weights.data(), dy.data, weights.size());
  model.backward();
  const std::vector<double> dw = on_host(model.gradients().data, model.gradients().size);
  const std::vector<double> dx = on_host(model.input_gradient().data, sample.size());

  GradientCheck check;
  // set(v) gives the value that is looked at another v.
  const auto compare = [&](double was, auto set, double computed, const std::string& name, long long i) {
    set(was + options.step);
    const double up = loss();
    set(was - options.step);
    const double down = loss();
    set(was);
    const double expected = (up - down) / (2 * options.step);
    const double size = std::max(1.0, std::max(std::abs(computed), std::abs(expected)));
    const double error = std::abs(computed - expected) / size;
    ++check.compared;
    if (!(error <= check.worst)) {  // NaN counts as worst
      check.worst = error;
      check.where = name + "[" + std::to_string(i) + "]";
      check.computed = computed;
      check.expected = expected;
    }
  };
  const auto stride = [&](long long n) { return n <= options.most ? 1 : n / options.most; };
  for (const plan::Tensor& t : model.tensors())
    if (t.kind == plan::Tensor::Kind::parameter)
      for (long long i = 0; i < t.dims.count(); i += stride(t.dims.count())) {
        const auto at = static_cast<std::size_t>(t.offset + i);
        compare(
            values[at], [&](double v) { upload(dev, &v, parameters.data + at, 1); }, dw[at], t.name, i);
      }
  const long long n = static_cast<long long>(sample.size());
  for (long long i = 0; i < n; i += stride(n)) {
    double& x = sample[static_cast<std::size_t>(i)];
    compare(
        x, [&](double v) { x = v; }, dx[static_cast<std::size_t>(i)], "input", i);
  }
  return check;
}

}  // namespace tenon
