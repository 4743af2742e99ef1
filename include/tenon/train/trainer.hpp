// Trainer: a model, an optimizer, a loss and a schedule, and the loop over them.
//   Trainer trainer(model, Adam{.lr = 1e-3});
//   Trainer trainer(model, Adam{.lr = 1e-3}, CrossEntropy{}, {.schedule = Schedule::cosine(steps), .clip_norm = 1});
//   trainer.epoch(data);                       all of a data set, shuffled by the model's seed
//   trainer.evaluate(test).accuracy();
//   trainer.step(x, labels, 128);              one batch from the caller
//
// The same in separate calls, with your own code between them:
//   trainer.forward(x);                        outputs; you may compute a loss from them
//   trainer.backward(labels);                  or backward(OutputGradient{dy}): gradients are complete
//   trainer.update();                          clips, updates, begins the next step
// Several micro-batches for one update, whose gradients are added in a fixed tree:
//   for (...) { trainer.forward(x); trainer.accumulate(labels); }
//   trainer.update();                          divides by the total weight of all micro-batches
// In each case every batch uses different random numbers. The states (BatchNorm's statistics) are saved before an update,
// and restored if the update is impossible. BatchNorm computes its statistics for each micro-batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/core/math.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/gather.hpp"
#include "tenon/cpu/reduce.hpp"
#include "tenon/data/dataset.hpp"
#include "tenon/losses/cross_entropy.hpp"
#include "tenon/optimizers/optimizer.hpp"
#include "tenon/train/execution/execution.hpp"
#include "tenon/train/gradient_tree.hpp"
#include "tenon/train/guard.hpp"
#include "tenon/train/model.hpp"
#include "tenon/train/parameter_ranges.hpp"
#include "tenon/train/running_epoch.hpp"
#include "tenon/train/trainer_options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <class Model, class Optimizer, class Loss = CrossEntropy>
class Trainer {
  static_assert(detail::check_optimizer<Optimizer>() && detail::check_loss_contract<Loss>());
  static_assert(plan::check_loss<Loss, typename Model::Network>());

 public:
  using T = typename Model::T;
  using Device = typename Model::device_type;
  template <class V>
  using Memory = typename Model::template Memory<V>;
  using Target = typename Loss::Target;
  using OutputView = typename Model::OutputView;
  using model_type = Model;
  using optimizer_type = Optimizer;

  explicit Trainer(Model& model, Optimizer optimizer, Loss loss = {}, TrainerOptions options = {})
      : optimizer_(std::move(optimizer)),
        loss_(std::move(loss)),
        options_(options.checked()),
        model_(model),
        guard_(std::make_unique<detail::Guard<Model>>(model, Optimizer::states)),
        tree_(model, options_.micro_batches),
        ranges_(model, optimizer_.decays_everything()),
        targets_(allocate<Target>(model.device(), static_cast<std::size_t>(model.capacity()) * targets_per_sample())),
        outputs_(static_cast<std::size_t>(model.capacity()) * Model::outputs),
        execution_(model.device()) {
    if constexpr (requires { loss_.check(); }) loss_.check();
    check_optimizer();
    measure_scratch(model.device(), [this] { launch_everything(); });
    model_.set_step_state(state_of_batch());
  }
  Trainer(Model& model, Optimizer optimizer, TrainerOptions options)
      : Trainer(model, std::move(optimizer), Loss{}, options) {}
  Trainer(Model& model, Optimizer optimizer, Loss loss, Schedule schedule, TrainerOptions options = {})
      : Trainer(model, std::move(optimizer), std::move(loss), with(options, schedule)) {}

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  /// The optimizer. Its rate may be changed at any time. Its other options may be changed between two calls.
  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const Loss& loss() const { return loss_; }
  const Schedule& schedule() const { return options_.schedule; }
  const TrainerOptions& options() const { return options_; }
  /// The optimizer's buffers, with the parameters' offsets. Optimizer::state_names has their names.
  std::vector<Memory<T>>& state() { return guard_->optimizer_state; }
  const std::vector<Memory<T>>& state() const { return guard_->optimizer_state; }
  Progress& progress() { return guard_->progress; }
  const Progress& progress() const { return guard_->progress; }
  /// The learning rate of the next update. After the last step of the schedule it is that of the last step.
  double learning_rate() const { return rate_at(progress().step); }
  /// Samples of the last batch of an epoch that were left out, because BatchNorm needs more than one value per channel.
  std::uint64_t skipped() const { return skipped_; }

  /// If the last update was so large that its effect is unknown, runs the last batch through the network again. If the
  /// outputs are not finite, rolls the update back and throws NonFinite. Saving a model or a checkpoint calls it too.
  void verify_last_update() { guard_->verify(); }

  /// Call it after progress, weights and buffers were replaced, for instance by a checkpoint. Discards all pending work.
  void resume() {
    guard_->confirm();
    forget_step();
    model_.discard_pass();
    running_epoch_.forget();
    model_.finish_update(state_of_batch());
  }

  // --- one step in separate calls --------------------------------------------------------------------------------------

  /// The outputs in training mode. x: rows of Model::inputs values in PyTorch's order, in memory of the host.
  OutputView forward(std::span<const T> x) {
    StepState state = state_of_batch();
    state.first_sample = progress().position + forwarded_;
    model_.set_step_state(state);
    const auto y = model_.forward(x);
    forwarded_ += static_cast<std::uint64_t>(y.batch);
    require_batch(y.batch);
    return y;
  }

  /// Computes loss and gradients for the batch of forward(). If the loss is not finite, restores the states, rolls back an
  /// update on probation, and throws NonFinite.
  LossSums backward(std::span<const Target> targets) {
    require_no_micro_batches();
    require_forward();
    upload_targets(targets, model_.batch());
    return loss_and_backward(Reduction::mean);
  }
  /// The same for the gradient of the mean of your own loss.
  void backward(OutputGradient<T> dy) {
    require_no_micro_batches();
    backward_of_own_loss(dy);
  }

  /// Adds the gradient of a micro-batch's summed loss, multiplied by `scale`, to the gradients of the update. The weight of
  /// the micro-batch is the loss's weight_sum times `scale`.
  LossSums accumulate(std::span<const Target> targets, double scale = 1) {
    constexpr double max = std::numeric_limits<T>::max();
    detail::check_option("Trainer", "a scale", "that the model's type can hold", scale, scale >= -max && scale <= max);
    require_forward();
    upload_targets(targets, model_.batch());
    return accumulate_uploaded(scale);
  }
  /// The same for the gradient of the sum of your own loss over the micro-batch. `weight` is the weight of the micro-batch,
  /// for instance its number of samples.
  void accumulate(OutputGradient<T> dy, double weight) {
    detail::check_option("Trainer", "a weight", "of 0 or above", weight, weight >= 0 && math::is_finite(weight));
    tree_.require_room();
    backward_of_own_loss(dy);
    tree_.add(model_, model_.batch(), weight);
  }

  /// One step of the optimizer with model().gradients(). If the gradients or the new weights are not finite, restores
  /// weights and states and throws NonFinite.
  void update() {
    if (model_.awaits_backward() && tree_.count() == 0)
      throw Error("Trainer", "expected update() after backward(), got it after a forward() without backward()");
    const double divide = 1 / tree_.finish(model_);
    forwarded_ = 0;
    const double norm = guard_->gradient_norm(divide);
    const double clip = options_.clip_norm > 0 && norm > options_.clip_norm ? options_.clip_norm / norm : 1;
    or_restore([&] {
      check_optimizer();
      options_.schedule.require_step(static_cast<std::int64_t>(progress().step));
    });
    StepState state = state_of_batch();
    state.learning_rate = learning_rate();
    state.gradient_scale = divide * clip;
    model_.set_step_state(state);
    model_.publish_step_state();
    guard_->update(state.learning_rate * (1 + norm * clip), [this] { launch_update(); });
    ++progress().step;
    model_.finish_update(state_of_batch());
  }

  /// Runs forward, loss and backward for the batch in model().input(). Throws like backward(targets).
  LossSums backward(const Target* targets, int batch) {
    upload_targets({targets, static_cast<std::size_t>(batch) * targets_per_sample()}, batch);
    return backward_of_loaded(batch);
  }

  /// Calls forward(), backward() and update() for `batch` samples: rows of Model::inputs values in PyTorch's order.
  LossSums step(const T* x, const Target* targets, int batch) {
    forward({x, static_cast<std::size_t>(batch) * Model::inputs});
    const LossSums sums =
        backward(std::span<const Target>(targets, static_cast<std::size_t>(batch) * targets_per_sample()));
    update();
    return sums;
  }
  LossSums step(std::span<const T> x, std::span<const Target> targets) {
    forward(x);
    const LossSums sums = backward(targets);
    update();
    return sums;
  }
  /// The same for a batch in a view, for instance of a Tensor.
  template <int... D>
  LossSums step(View<const T, Batch, D...> x, const Target* targets) {
    static_assert((1 * ... * D) == Model::inputs, "tenon::Trainer::step: x holds as many values a sample as the Input");
    return step(x.data, targets, x.batch);
  }
  template <int... D>
  LossSums step(View<T, Batch, D...> x, const Target* targets) {
    return step(View<const T, Batch, D...>(x), targets);
  }

  // --- a data set ------------------------------------------------------------------------------------------------------

  /// Creates now what the first calls of epoch(data) and evaluate(data) would create. On a device that records steps these
  /// are the recordings, which any data set of the same kind and size can use, and the copy of the data in memory of the
  /// device. After that the calls allocate nothing, until an option of the optimizer other than its rate changes. On the
  /// Cpu it only checks the data. Throws Error if `data` does not fit the network or the loss.
  template <class Data>
  void prepare(const Data& data) {
    detail::require_data<Trainer>(data);
    execution_.prepare(*this, data);
  }

  /// Runs the rest of the running epoch: all of `data` once, in an order that depends only on seed and epoch. The last
  /// batch may be smaller. `on_step(sums)` is called after each update (if steps are recorded, after up to steps_per_launch
  /// updates) with the sums of these updates. It may return false to stop. Returns true when the epoch is finished.
  /// Otherwise the next call continues where this one stopped.
  template <class Data, class OnStep>
  bool epoch(const Data& data, OnStep&& on_step) {
    detail::require_data<Trainer>(data);
    const std::uint64_t n = data.size();
    running_epoch_.begin_or_continue(data, progress().position);
    if (n - progress().position < static_cast<std::uint64_t>(smallest_batch) && progress().position == 0)
      throw_batch_of_one();
    if (model_.capacity() < smallest_batch) throw_batch_of_one();
    forget_step();
    if (progress().position == 0) skipped_ = 0;
    while (progress().position < n) {
      if (n - progress().position < static_cast<std::uint64_t>(smallest_batch)) {
        skipped_ += n - progress().position;
        break;
      }
      check_optimizer();
      const LossSums sums = execution_.advance(*this, data, n);
      progress().sums = progress().sums + sums;
      if (!goes_on(on_step, sums)) return false;
    }
    ++progress().epoch;
    progress().position = 0;
    running_epoch_.forget();
    model_.set_step_state(state_of_batch());
    return true;
  }
  template <class Data>
  LossSums epoch(const Data& data) {
    if (progress().position == 0) progress().sums = {};
    epoch(data, [](const LossSums&) {});
    return progress().sums;
  }

  /// Skips the rest of the running epoch. The next epoch() begins with the first sample of its data set.
  void abandon_epoch() {
    progress().position = 0;
    progress().sums = {};
    running_epoch_.forget();
  }

  /// Loss and accuracy over all of `data`, in the order of the set, in inference mode. Throws Error between forward() and
  /// backward().
  template <class Data>
  [[nodiscard]] LossSums evaluate(const Data& data) {
    return evaluate(data, nullptr);
  }
  /// `on_batch(first sample, outputs)` gets the outputs of every batch in memory of the host. It may return false to stop.
  template <class Data, class OnBatch>
  LossSums evaluate(const Data& data, OnBatch&& on_batch) {
    detail::require_data<Trainer>(data);
    if (model_.awaits_backward())
      throw Error("Trainer",
                  "expected evaluate() before forward() or after backward(), got it between them, where it would "
                  "overwrite what backward() needs");
    return execution_.evaluate(*this, data, on_batch);
  }

  // --- for train/execution ----------------------------------------------------------------------------------------------

  // BatchNorm over (B, C) or one pixel has one value per channel and sample, so one sample is not enough.
  static constexpr int smallest_batch = [] {
    const auto& g = Model::Network::graph;
    for (int k = 0; k < g.count; ++k)
      if (g.nodes[k].spec.couples_batch && g.nodes[k].in_dims.count() == g.nodes[k].in_dims[0]) return 2;
    return 1;
  }();
  static constexpr int targets_per_sample() { return Loss::template targets_per_sample<Model::outputs>(); }

  /// The step state of the next batch.
  StepState state_of_batch() const {
    StepState s = model_.step_state();
    s.seed = model_.seed().value;
    s.step = static_cast<std::uint32_t>(progress().step);
    s.epoch = progress().epoch;
    s.first_sample = progress().position + tree_.samples();
    s.gradient_scale = 1;
    s.stopped = 0;
    return s;
  }
  double rate_at(std::uint64_t step) const {
    return optimizer_.lr * options_.schedule.at(static_cast<std::int64_t>(step));
  }
  Target* targets() { return targets_.data(); }
  kernels::HostMirror<Device, T>& host_outputs() { return outputs_; }
  detail::GradientTree<Model>& tree() { return tree_; }

  /// Runs forward, loss and backward for the batch in model().first_input(batch) and targets().
  LossSums backward_of_loaded(int batch) {
    require_no_micro_batches();
    require_batch(batch);
    model_.set_step_state(state_of_batch());
    model_.forward(batch);
    return loss_and_backward(Reduction::mean);
  }
  LossSums accumulate_loaded(int batch) {
    require_batch(batch);
    model_.set_step_state(state_of_batch());
    model_.forward(batch);
    return accumulate_uploaded(1);
  }

  // Only kernels, which can be recorded.
  void launch_loss(int batch, Reduction reduction) {
    const View<T, Batch, Model::outputs> gradient(model_.output_gradient());
    model_.evaluate_loss(loss_, View<const T, Batch, Model::outputs>(model_.training_output().data, batch), targets(),
                         View<T, Batch, Model::outputs>(gradient.data, batch), reduction);
  }
  void launch_evaluation_loss(int batch) {
    model_.evaluate_loss(loss_, View<const T, Batch, Model::outputs>(model_.inference_output().data, batch), targets(),
                         View<T, Batch, Model::outputs>(nullptr, batch), Reduction::mean);
  }
  void launch_update() { ranges_.update(optimizer_, model_, state()); }
  /// Adds `made` updates and `samples` samples, which were computed elsewhere, to the progress.
  void count_updates(std::uint64_t made, std::uint64_t samples) {
    progress().step += made;
    progress().position += samples;
    if (made > 0) guard_->confirm();
  }
  void count_skipped(std::uint64_t samples) { skipped_ += samples; }
  void finish_update() { model_.finish_update(state_of_batch()); }

 private:
  static TrainerOptions with(TrainerOptions o, const Schedule& schedule) {
    o.schedule = schedule;
    return o;
  }

  // The optimizer's options may have changed since the last step.
  void check_optimizer() const {
    if constexpr (requires { optimizer_.check(); }) optimizer_.check();
    detail::check_option("Trainer", "a learning rate", "of 0 or above", optimizer_.lr, optimizer_.lr >= 0);
    if (progress().step >= Progress::max_steps)
      throw Error("Trainer", "expected at most " + std::to_string(Progress::max_steps) + " steps, got one more");
  }

  [[noreturn]] static void throw_batch_of_one() {
    throw Error("train",
                "expected a batch of at least 2 samples, because BatchNorm over (B, C) needs more than one value a "
                "channel, got 1: make the model's capacity and the data set larger");
  }
  static void require_batch(int batch) {
    if (batch < smallest_batch) throw_batch_of_one();
  }
  void require_forward() const {
    if (!model_.awaits_backward())
      throw Error("Trainer", "expected backward() after forward(), got it without a forward() before it");
  }
  void require_no_micro_batches() const {
    if (tree_.count() > 0)
      throw Error("Trainer", "expected accumulate() or update() after accumulate(), got backward()");
  }

  void upload_targets(std::span<const Target> targets, int batch) {
    const std::size_t n = static_cast<std::size_t>(batch) * targets_per_sample();
    if (targets.size() != n || batch < 1 || batch > model_.capacity())
      throw Error("Trainer", "expected " + std::to_string(n) + " targets for a batch of " + std::to_string(batch) +
                                 " samples, got " + std::to_string(targets.size()));
    upload(model_.device(), targets.data(), targets_.data(), n);
  }
  void upload_output_gradient(OutputGradient<T> dy) {
    const auto to = model_.output_gradient();
    if (!model_.awaits_backward() || dy.values.size() != to.size())
      throw Error("Trainer", "expected a gradient of " + std::to_string(to.size()) + " values after forward(), got " +
                                 std::to_string(dy.values.size()));
    if (to.data) upload(model_.device(), dy.values.data(), to.data, to.size());  // null: the network trains nothing
  }

  // Called after forward(), with the targets in targets_. It checks the loss before anything depends on it.
  LossSums loss_and_backward(Reduction reduction) {
    require_forward();
    or_restore([&] { launch_loss(model_.batch(), reduction); });
    model_.backward();
    const LossSums sums = model_.read_sums();
    if (!math::is_finite(sums.loss_sum) || !math::is_finite(sums.weight_sum)) {
      const std::string layer = model_.first_non_finite(model_.batch());
      model_.restore_states();
      forget_step();
      const std::uint64_t step = progress().step + 1;
      if (guard_->on_probation()) guard_->rollback();
      throw NonFinite("loss", step, layer.empty() ? "the loss" : layer);
    }
    guard_->confirm();
    return sums;
  }
  LossSums accumulate_uploaded(double scale) {
    tree_.require_room();
    const LossSums sums = loss_and_backward(Reduction::sum);
    if (scale != 1) multiply_by(model_.device(), model_.gradients(), static_cast<T>(scale));
    tree_.add(model_, model_.batch(), sums.weight_sum * scale);
    return sums;
  }
  void backward_of_own_loss(OutputGradient<T> dy) {
    upload_output_gradient(dy);
    or_restore([&] { guard_->verify_outputs(); });
    model_.backward();
  }
  // Runs f. If it throws, restores the states that the running step has changed.
  template <class F>
  void or_restore(F f) {
    try {
      f();
    } catch (...) {
      model_.restore_states();
      forget_step();
      throw;
    }
  }
  void forget_step() {
    tree_.clear();
    forwarded_ = 0;
  }

  // Calls every kernel of a step once, to measure the scratch memory that they need.
  void launch_everything() {
    const int batch = model_.capacity();
    model_.launch_forward(batch);
    launch_loss(batch, Reduction::mean);
    sum_of_squares(model_.device(), Span<const T>{model_.gradients().data, model_.gradients().size});
    all_finite(model_.device(), Span<const T>{model_.parameters().data, model_.parameters().size});
    launch_update();
  }

  template <class OnStep>
  static bool goes_on(OnStep& on_step, const LossSums& sums) {
    if constexpr (std::is_void_v<decltype(on_step(sums))>)
      return on_step(sums), true;
    else
      return static_cast<bool>(on_step(sums));
  }

  Optimizer optimizer_;
  Loss loss_;
  TrainerOptions options_;
  Model& model_;
  std::unique_ptr<detail::Guard<Model>> guard_;  // at a fixed address, because the model points to it
  detail::GradientTree<Model> tree_;
  detail::ParameterRanges ranges_;
  Memory<Target> targets_;
  kernels::HostMirror<Device, T> outputs_;  // of an evaluated batch
  std::uint64_t forwarded_ = 0;             // samples of forward() since the last update
  std::uint64_t skipped_ = 0;
  detail::RunningEpoch running_epoch_;
  execution::For<Trainer> execution_;
};

template <class Model, class Optimizer>
Trainer(Model&, Optimizer) -> Trainer<Model, Optimizer, CrossEntropy>;
template <class Model, class Optimizer>
Trainer(Model&, Optimizer, TrainerOptions) -> Trainer<Model, Optimizer, CrossEntropy>;

}  // namespace tenon

TENON_IEEE_MATH_END
