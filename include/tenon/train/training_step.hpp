// TrainingStep: one step of a training, for Trainer and the executions. It owns what a step needs in addition to the model:
// the optimizer and its buffers, the loss, the options, the targets of a batch, the micro-batches and the progress.
//
// The order of a step: forward; loss_and_backward, once or for each micro-batch; update. Each of them checks its result. If
// it cannot be used, the step ends with an error and leaves weights and states as they were before the step.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/core/math.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/reduce.hpp"
#include "tenon/losses/loss.hpp"
#include "tenon/optimizers/optimizer.hpp"
#include "tenon/train/gradient_tree.hpp"
#include "tenon/train/guard.hpp"
#include "tenon/train/model.hpp"
#include "tenon/train/parameter_ranges.hpp"
#include "tenon/train/progress.hpp"
#include "tenon/train/trainer_options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::detail {

template <class Model, class OptimizerType, class LossType>
class TrainingStep {
 public:
  using T = typename Model::T;
  using Device = typename Model::device_type;
  using Target = typename LossType::Target;
  using model_type = Model;
  using optimizer_type = OptimizerType;
  template <class V>
  using Memory = typename Model::template Memory<V>;

  TrainingStep(Model& m, OptimizerType o, LossType l, TrainerOptions with)
      : optimizer(std::move(o)),
        loss(std::move(l)),
        options(with.checked()),
        model_(m),
        guard_(std::make_unique<Guard<Model>>(m, OptimizerType::states)),
        tree_(m, options.micro_batches),
        ranges_(m, optimizer.decays_everything()),
        targets_(allocate<Target>(m.device(), static_cast<std::size_t>(m.capacity()) * targets_per_sample())),
        outputs_(static_cast<std::size_t>(m.capacity()) * Model::outputs) {
    if constexpr (requires { loss.check(); }) loss.check();
    check_optimizer();
    measure_scratch(m.device(), [this] { launch_everything(); });
    finish_update();  // what the model has computed so far belongs to no step of this training
  }

  OptimizerType optimizer;
  LossType loss;
  TrainerOptions options;
  std::uint64_t skipped = 0;  // samples of the running epoch that were left out

  Model& model() { return require_model(), model_; }
  const Model& model() const { return require_model(), model_; }
  Guard<Model>& guard() { return *guard_; }
  const Guard<Model>& guard() const { return *guard_; }
  Progress& progress() { return guard_->progress; }
  const Progress& progress() const { return guard_->progress; }
  Target* targets() { return targets_.data(); }
  kernels::HostMirror<Device, T>& host_outputs() { return outputs_; }
  GradientTree<Model>& tree() { return tree_; }

  // BatchNorm over (B, C) or one pixel has one value per channel and sample, so one sample is not enough.
  static constexpr int smallest_batch = [] {
    const auto& g = Model::Network::graph;
    for (int k = 0; k < g.count; ++k)
      if (g.nodes[k].spec.couples_batch && g.nodes[k].in_dims.count() == g.nodes[k].in_dims[0]) return 2;
    return 1;
  }();
  static constexpr int targets_per_sample() { return LossType::template targets_per_sample<Model::outputs>(); }

  /// The step state of the next batch.
  StepState state_of_batch() const {
    StepState s = model_.step_state();
    s.seed = model_.seed().value;
    s.step = static_cast<std::uint32_t>(progress().step);
    s.epoch = progress().epoch;
    s.learning_rate = rate_at(progress().step);
    s.first_sample = progress().position + tree_.samples();
    s.gradient_scale = 1;
    s.stopped = 0;
    return s;
  }
  double rate_at(std::uint64_t step) const {
    return optimizer.lr * options.schedule.at(static_cast<std::int64_t>(step));
  }

  // --- the parts of a step ---------------------------------------------------------------------------------------------

  /// Forward pass of a batch in memory of the host.
  typename Model::OutputView forward(std::span<const T> x) {
    require_model();
    require_batch(model_.rows_of(x.size()));
    StepState state = state_of_batch();
    state.first_sample = progress().position + guard_->forwarded;
    model_.set_step_state(state);
    return or_restore([&] {
      const auto y = model_.forward(x);
      guard_->forwarded += static_cast<std::uint64_t>(y.batch);
      return y;
    });
  }
  /// Forward pass of the batch in model().first_input(batch).
  void forward_loaded(int batch) {
    require_batch(batch);
    model_.set_step_state(state_of_batch());
    or_restore([&] { model_.forward(batch); });
  }

  void require_size(int batch) const {
    if (batch < 1 || batch > model_.capacity())
      throw Error("Trainer", "expected a batch of 1 to " + std::to_string(model_.capacity()) + " samples, got " +
                                 std::to_string(batch));
  }
  /// Throws Error unless there are `targets` targets for a batch of `batch` samples.
  void require_targets(std::size_t targets, int batch) const {
    require_size(batch);
    const std::size_t n = static_cast<std::size_t>(batch) * targets_per_sample();
    if (targets != n)
      throw Error("Trainer", "expected " + std::to_string(n) + " targets for a batch of " + std::to_string(batch) +
                                 " samples, got " + std::to_string(targets));
  }
  void upload_targets(std::span<const Target> targets, int batch) {
    require_targets(targets.size(), batch);
    upload(model_.device(), targets.data(), targets_.data(), targets.size());
  }

  /// Gradients of the mean of the loss over the batch of the last forward pass and targets().
  LossSums backward() {
    require_no_micro_batches();
    return loss_and_backward(Reduction::mean);
  }
  void backward(OutputGradient<T> dy) {
    require_no_micro_batches();
    backward_of(dy);
  }

  /// Adds the gradient of the sum of the loss, multiplied by `scale`, to the gradients of the update. The divisor counts the
  /// micro-batch with |scale|.
  LossSums accumulate(double scale) {
    tree_.require_room();
    const LossSums sums = loss_and_backward(Reduction::sum);
    if (scale != 1) multiply_by(model_.device(), model_.gradients(), static_cast<T>(scale));
    tree_.add(model_, model_.batch(), sums.weight_sum * (scale < 0 ? -scale : scale));
    return sums;
  }
  void accumulate(OutputGradient<T> dy, double weight) {
    tree_.require_room();
    backward_of(dy);
    tree_.add(model_, model_.batch(), weight);
  }

  void update() {
    require_model();
    if (gradients_are_stale_)
      throw Error("Trainer", "expected update() after backward(), got it after a step that has failed");
    if (model_.awaits_backward())
      throw Error("Trainer", "expected update() after backward(), got it after a forward() without backward()");
    const double divide = 1 / tree_.finish(model_);
    guard_->forwarded = 0;
    const double norm = guard_->gradient_norm(divide);
    const double clip = options.clip_norm > 0 && norm > options.clip_norm ? options.clip_norm / norm : 1;
    or_restore([&] {
      check_optimizer();
      options.schedule.require_step(static_cast<std::int64_t>(progress().step));
    });
    StepState state = state_of_batch();
    state.gradient_scale = divide * clip;
    model_.set_step_state(state);
    model_.publish_step_state();
    guard_->update(state.learning_rate * (1 + norm * clip) * gain(state.learning_rate), [this] { launch_update(); });
    ++progress().step;
    finish_update();
  }
  void finish_update() { model_.finish_update(state_of_batch()); }

  /// Discards micro-batches and forward passes that no update has used.
  void forget() {
    tree_.clear();
    guard_->forwarded = 0;
  }
  /// The same, and takes back what the forward passes have changed.
  void abandon() {
    if (guard_->forwarded > 0 || tree_.count() > 0) model_.restore_states();
    forget();
  }
  /// Runs a part of a step. If it throws, restores the states that the step has changed.
  template <class F>
  decltype(auto) or_restore(F f) {
    try {
      return f();
    } catch (...) {
      give_up();
      throw;
    }
  }

  // --- kernels, which can be recorded -----------------------------------------------------------------------------------

  void launch_loss(int batch, Reduction reduction) {
    const View<T, Batch, Model::outputs> gradient(model_.output_gradient());
    model_.evaluate_loss(loss, View<const T, Batch, Model::outputs>(model_.training_output().data, batch), targets(),
                         View<T, Batch, Model::outputs>(gradient.data, batch), reduction);
  }
  void launch_evaluation_loss(int batch) {
    model_.evaluate_loss(loss, View<const T, Batch, Model::outputs>(model_.inference_output().data, batch), targets(),
                         View<T, Batch, Model::outputs>(nullptr, batch), Reduction::mean);
  }
  void launch_update() { ranges_.update(optimizer, model_, guard_->optimizer_state); }

  /// Adds `made` updates and `samples` samples, which were computed elsewhere, to the progress.
  void count_updates(std::uint64_t made, std::uint64_t samples) {
    progress().step += made;
    progress().position += samples;
    if (made > 0) guard_->confirm();
  }

  // --- checks -----------------------------------------------------------------------------------------------------------

  // The optimizer's options may have changed since the last step.
  void check_optimizer() {
    if (ranges_.decays_everything() != optimizer.decays_everything())
      ranges_ = ParameterRanges(model_, optimizer.decays_everything());
    if constexpr (requires { optimizer.check(); }) optimizer.check();
    check_option("Trainer", "a learning rate", "of 0 or above", optimizer.lr, optimizer.lr >= 0);
    if (progress().step >= Progress::max_steps)
      throw Error("Trainer", "expected at most " + std::to_string(Progress::max_steps) + " steps, got one more");
  }
  /// By how much an update may be larger than learning rate * (1 + norm of the gradient) (optimizers/optimizer.hpp).
  double gain(double learning_rate) const { return gain_of(optimizer, learning_rate); }
  void require_model() const {
    if (!guard_->attached())
      throw Error("Trainer",
                  "expected the model with which the trainer was made, got one that was moved, assigned or destroyed: "
                  "make another trainer");
  }
  static void require_batch(std::uint64_t batch) {
    if (batch < static_cast<std::uint64_t>(smallest_batch))
      throw Error("train",
                  "expected a batch of at least 2 samples, because BatchNorm over (B, C) needs more than one value a "
                  "channel, got 1: make the model's capacity and the data set larger");
  }
  static void require_batch(int batch) { require_batch(static_cast<std::uint64_t>(batch)); }
  void require_forward() const {
    if (!model_.awaits_backward())
      throw Error("Trainer", "expected backward() after forward(), got it without a forward() before it");
  }
  void require_no_micro_batches() const {
    if (tree_.count() > 0)
      throw Error("Trainer", "expected accumulate() or update() after accumulate(), got backward()");
  }

 private:
  // Ends a step that has failed.
  void give_up() {
    model_.restore_states();
    forget();
    gradients_are_stale_ = true;
  }
  // Checks the loss before anything depends on it.
  LossSums loss_and_backward(Reduction reduction) {
    require_forward();
    or_restore([&] { launch_loss(model_.batch(), reduction); });
    model_.backward();
    gradients_are_stale_ = false;
    const LossSums sums = model_.read_sums();
    if (!math::is_finite(sums.loss_sum) || !math::is_finite(sums.weight_sum)) {
      const std::string layer = model_.first_non_finite(model_.batch());
      give_up();
      const std::uint64_t step = progress().step + 1;
      if (guard_->on_probation()) guard_->rollback();
      throw NonFinite("loss", step, layer.empty() ? "the loss" : layer);
    }
    guard_->confirm();
    return sums;
  }
  void upload_output_gradient(OutputGradient<T> dy) {
    require_forward();
    const auto to = model_.output_gradient();
    if (dy.values.size() != to.size())
      throw Error("Trainer", "expected a gradient of " + std::to_string(to.size()) +
                                 " values, as the outputs of forward(), got " + std::to_string(dy.values.size()));
    if (to.data) upload(model_.device(), dy.values.data(), to.data, to.size());  // null: the network trains nothing
  }
  void backward_of(OutputGradient<T> dy) {
    upload_output_gradient(dy);
    or_restore([&] { guard_->verify_outputs(); });
    model_.backward();
    gradients_are_stale_ = false;
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

  Model& model_;
  std::unique_ptr<Guard<Model>> guard_;  // at a fixed address, because the model points to it
  GradientTree<Model> tree_;
  ParameterRanges ranges_;
  Memory<Target> targets_;
  kernels::HostMirror<Device, T> outputs_;  // of an evaluated batch
  bool gradients_are_stale_ = false;        // the last step has failed, and no backward pass has followed
};

}  // namespace tenon::detail

TENON_IEEE_MATH_END
