// check_gradients: compares every gradient of a network with central differences, in double precision. For the layers
// of this library and for yours alike:
//   const GradientCheck c = check_gradients<Sequential<Input<7>, Swish, Linear<3>>>();
//   CHECK(c.worst < 1e-6);                     c.where says which value it was
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
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

/// The loss is the outputs' sum, each weighted by a random number; parameters and inputs are random, too.
template <class Net>
GradientCheck check_gradients(GradientCheckOptions options = {}) {
  using M = Model<Net, Cpu, Fp64, plan::Mode::train_with_input_gradient>;
  M model(Seed{options.seed}, options.batch, Cpu{});
  const auto draw = [&](std::uint32_t what, std::uint64_t i) {
    const random::Key key{options.seed, random::Use::user, what, 0};
    return 2.0 * random::unit(key.words(i, 0).v[0]) - 1.0;
  };
  const auto x = model.input(options.batch);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = draw(1, i);
  std::vector<double> sample(x.data, x.data + x.size());
  // Constant starts (BatchNorm's 1 and 0) would hide mistakes.
  for (const plan::Tensor& t : model.tensors())
    if (t.kind == plan::Tensor::Kind::parameter && t.initial.kind == Initial::Kind::constant)
      for (long long i = 0; i < t.dims.count(); ++i)
        model.parameters()[t.offset + i] += 0.5 * draw(2, static_cast<std::uint64_t>(t.offset + i));

  const auto loss = [&] {
    std::copy(sample.begin(), sample.end(), model.input(options.batch).data);  // its memory may have been reused
    const auto y = model.forward(options.batch);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * draw(3, i);
    return sum;
  };
  loss();
  const auto dy = model.output_gradient();
  for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = draw(3, i);
  model.backward();
  const std::vector<double> dw(model.gradients().begin(), model.gradients().end());
  const auto dx_view = model.input_gradient();
  const std::vector<double> dx(dx_view.data, dx_view.data + dx_view.size());

  GradientCheck check;
  const auto compare = [&](double& value, double computed, const std::string& name, long long i) {
    const double was = value;
    value = was + options.step;
    const double up = loss();
    value = was - options.step;
    const double down = loss();
    value = was;
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
      for (long long i = 0; i < t.dims.count(); i += stride(t.dims.count()))
        compare(model.parameters()[t.offset + i], dw[t.offset + i], t.name, i);
  const long long n = static_cast<long long>(sample.size());
  for (long long i = 0; i < n; i += stride(n)) compare(sample[i], dx[i], "input", i);
  return check;
}

}  // namespace tenon
