// check_gradients: checks the layers of a network in double precision. It checks how each layer uses its memory
// (check_layers.hpp), and compares gradients with central differences.
//   const GradientCheck c = check_gradients<Sequential<Input<7>, Swish, Linear<3>>>();
//   CHECK(c.worst < 1e-6);                     c.where gives the value or the defect
//   check_gradients<Net>(options, Cuda{})      the same on another device
// check_loss: the same for a loss.
//   CHECK(check_loss<10>(CrossEntropy{}).worst < 1e-6);      10 outputs
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tenon/train/check_layers.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct GradientCheck {
  double worst = 0;   // the largest |computed - expected| / max(1, |computed|, |expected|); huge if there is a defect
  std::string where;  // "2.weight[17]", "input[3]", or the first defect
  double computed = 0, expected = 0;
  long long compared = 0;            // values
  std::vector<std::string> defects;  // "layer 1 (Swish): backward ignores at.dx.accumulate"

  void add_defect(std::string what) {
    if (defects.empty()) where = what;
    worst = std::numeric_limits<double>::max();
    defects.push_back(std::move(what));
  }
  /// Records the error of one value.
  void compare(double is, double should_be, const std::string& name, long long i) {
    const double error = std::abs(is - should_be) / std::max(1.0, std::max(std::abs(is), std::abs(should_be)));
    ++compared;
    if (error <= worst) return;  // NaN counts as worst
    worst = error;
    where = name + "[" + std::to_string(i) + "]";
    computed = is;
    expected = should_be;
  }
};

struct GradientCheckOptions {
  std::uint64_t seed = 1;
  int batch = 3;
  double step = 1e-5;   // of the central difference
  long long max = 400;  // values compared in each tensor, evenly spaced; all values of tensors with at most this many
};

/// Checks all gradients of Net. The loss is the sum of the outputs, each multiplied by a random number. Parameters and
/// inputs are random too. Each compared value takes two forward passes on `device`. On the Cpu it starts child processes to
/// detect layers that crash.
template <class Net, class Device = Cpu>
[[nodiscard]] GradientCheck check_gradients(GradientCheckOptions options = {}, Device device = Device{}) {
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
  // Constant initial values (BatchNorm's 1 and 0) would hide mistakes.
  const auto parameters = model.parameters();
  std::vector<double> values = on_host(parameters.data, parameters.size);
  for (const plan::NamedTensor& t : model.tensors())
    if (t.kind == plan::NamedTensor::Kind::parameter && t.initial.kind == Initial::Kind::constant)
      for (long long i = t.offset; i < t.offset + t.dims.count(); ++i)
        values[static_cast<std::size_t>(i)] += 0.5 * draw(2, static_cast<std::uint64_t>(i));
  upload(dev, values.data(), parameters.data, values.size());

  kernels::HostMirror<Device, double> outputs(static_cast<std::size_t>(options.batch) * M::outputs);
  const StepState state = model.step_state();
  const auto loss = [&] {
    // Upload each time, because the memory of the input may have been reused.
    upload(dev, sample.data(), model.input(options.batch).data, sample.size());
    model.set_step_state(state);  // the same random numbers each time
    const auto y = model.forward(options.batch);
    const double* const here = outputs(dev, y.data, y.size());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += here[i] * draw(3, i);
    return sum;
  };
  GradientCheck check;
  std::vector<double> weights(static_cast<std::size_t>(options.batch) * M::outputs);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = draw(3, i);
  detail::LayerCheck<Device> layers(detail::plan_tables<Net, typename M::Train, Device>(), model.layer_context(),
                                    sample, weights);
  for (std::string& defect : layers.run()) check.add_defect(std::move(defect));
  if (!check.defects.empty()) return check;

  loss();
  const auto dy = model.output_gradient();
  upload(dev, weights.data(), dy.data, weights.size());
  model.backward();
  const std::vector<double> dw = on_host(model.gradients().data, model.gradients().size);
  const std::vector<double> dx = on_host(model.input_gradient().data, sample.size());

  // set(v) sets the compared value to v.
  const auto compare = [&](double was, auto set, double computed, const std::string& name, long long i) {
    set(was + options.step);
    const double up = loss();
    set(was - options.step);
    const double down = loss();
    set(was);
    const double expected = (up - down) / (2 * options.step);
    check.compare(computed, expected, name, i);
  };
  const auto stride = [&](long long n) { return n <= options.max ? 1 : n / options.max; };
  for (const plan::NamedTensor& t : model.tensors())
    if (t.kind == plan::NamedTensor::Kind::parameter)
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

/// Checks a loss of `Outputs` outputs in double precision. It compares the gradients of the mean and of the sum with
/// central differences. It checks that the loss writes the whole gradient and nothing else. It checks that the sums are the
/// same without a gradient and are additive over the samples.
template <int Outputs, class Loss, class Device = Cpu>
[[nodiscard]] GradientCheck check_loss(const Loss& loss, GradientCheckOptions options = {}, Device device = Device{}) {
  using Target = typename Loss::Target;
  using Gradient = View<double, Batch, Outputs>;
  constexpr int per_sample = Loss::template targets_per_sample<Outputs>();
  const int batch = options.batch;
  const std::size_t n = static_cast<std::size_t>(batch) * Outputs;
  std::vector<double> y(n), guarded(n + 2 * Outputs, std::numeric_limits<double>::quiet_NaN());
  std::vector<Target> targets(static_cast<std::size_t>(batch * per_sample));
  const auto draw = [&](std::uint32_t what, std::size_t i) {
    return static_cast<double>(random::unit(random::Key{options.seed, random::Use::user, what, 0}.words(i, 0).v[0]));
  };
  for (std::size_t i = 0; i < n; ++i) y[i] = 4 * draw(1, i) - 2;
  for (std::size_t i = 0; i < targets.size(); ++i)
    targets[i] = static_cast<Target>(draw(2, i) * (std::is_integral_v<Target> ? Outputs : 1));
  // The gradient is between two rows that the loss must not write.
  const std::vector<detail::MemoryRange> written{{Outputs, Outputs + n}};
  auto y_memory = allocate<double>(device, n), gradient_memory = allocate<double>(device, guarded.size());
  auto target_memory = allocate<Target>(device, targets.size());
  auto sums_memory = allocate<LossSums>(device, 1);
  auto step_memory = allocate<StepState>(device, 1);
  const StepState step{.seed = options.seed};
  upload(device, targets.data(), target_memory.data(), targets.size());
  upload(device, &step, step_memory.data(), 1);

  const auto sums_of = [&](int first, int rows, Gradient gradient, Reduction reduction) {
    const auto at = static_cast<std::size_t>(first);
    upload(device, static_cast<const double*>(y.data()), y_memory.data(), n);
    loss(device,
         LossContext<double, Target, Outputs, Device>{In<double, Batch, Outputs>(y_memory.data() + at * Outputs, rows),
                                                      target_memory.data() + at * per_sample, reduction, gradient,
                                                      sums_memory.data(), step_memory.data()});
    LossSums sums;
    download(device, static_cast<const LossSums*>(sums_memory.data()), &sums, 1);
    return sums;
  };
  const auto same = [](const LossSums& a, const LossSums& b, double bound) {
    return std::abs(a.loss_sum - b.loss_sum) <= bound * std::max(1.0, std::abs(b.loss_sum)) &&
           std::abs(a.weight_sum - b.weight_sum) <= bound * b.weight_sum && a.correct == b.correct &&
           a.count == b.count;
  };
  GradientCheck check;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    upload(device, static_cast<const double*>(guarded.data()), gradient_memory.data(), guarded.size());
    const LossSums all = sums_of(0, batch, Gradient(gradient_memory.data() + Outputs, batch), reduction);
    std::vector<double> gradient(guarded.size()), y_after(n);
    download(device, static_cast<const double*>(gradient_memory.data()), gradient.data(), gradient.size());
    download(device, static_cast<const double*>(y_memory.data()), y_after.data(), n);
    if (!detail::all_finite_in(gradient, written))
      check.add_defect("the loss leaves elements of the gradient unwritten, or writes NaN or infinity");
    if (!detail::same_outside(guarded, gradient, written)) check.add_defect("the loss writes outside of the gradient");
    if (!detail::same_outside(y, y_after, {})) check.add_defect("the loss changes the outputs");
    if (!(all.weight_sum > 0) || all.correct < 0 || all.correct > all.count)
      check.add_defect("the sums of the loss have no weight, or more correct decisions than decisions");
    else if (!same(sums_of(0, batch, Gradient(), reduction), all, 0))
      check.add_defect("the sums of the loss are different if the gradient is null");
    LossSums added;
    for (int b = 0; b < batch; ++b) added = added + sums_of(b, 1, Gradient(), reduction);
    if (!same(added, all, 1e-9)) check.add_defect("the sums of the loss are not the sums over the samples");
    if (!check.defects.empty()) return check;

    const auto value = [&] {
      const LossSums sums = sums_of(0, batch, Gradient(), reduction);
      return reduction == Reduction::mean ? sums.loss() : sums.loss_sum;
    };
    for (std::size_t i = 0; i < n; ++i) {
      const double was = y[i];
      y[i] = was + options.step;
      const double up = value();
      y[i] = was - options.step;
      const double down = value();
      y[i] = was;
      check.compare(gradient[Outputs + i], (up - down) / (2 * options.step),
                    reduction == Reduction::mean ? "mean by outputs" : "sum by outputs", static_cast<long long>(i));
    }
  }
  return check;
}

}  // namespace tenon

TENON_IEEE_MATH_END
