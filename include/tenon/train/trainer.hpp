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

#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/core/math.hpp"
#include "tenon/data/dataset.hpp"
#include "tenon/losses/cross_entropy.hpp"
#include "tenon/optimizers/optimizer.hpp"
#include "tenon/train/execution/execution.hpp"
#include "tenon/train/model.hpp"
#include "tenon/train/running_epoch.hpp"
#include "tenon/train/trainer_options.hpp"
#include "tenon/train/training_step.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <class Model, class Optimizer, class Loss = CrossEntropy>
class Trainer {
  static_assert(detail::check_optimizer<Optimizer>() && detail::check_loss_contract<Loss>());
  static_assert(plan::check_loss<Loss, typename Model::Network>());
  using Step = detail::TrainingStep<Model, Optimizer, Loss>;

 public:
  using T = typename Model::T;
  using Device = typename Model::device_type;
  using Target = typename Loss::Target;
  using OutputView = typename Model::OutputView;
  template <class V>
  using Memory = typename Model::template Memory<V>;

  explicit Trainer(Model& model, Optimizer optimizer, Loss loss = {}, TrainerOptions options = {})
      : step_(model, std::move(optimizer), std::move(loss), options), execution_(model.device()) {}
  Trainer(Model& model, Optimizer optimizer, TrainerOptions options)
      : Trainer(model, std::move(optimizer), Loss{}, options) {}
  Trainer(Model& model, Optimizer optimizer, Loss loss, Schedule schedule, TrainerOptions options = {})
      : Trainer(model, std::move(optimizer), std::move(loss), with(options, schedule)) {}

  Model& model() { return step_.model(); }
  const Model& model() const { return step_.model(); }
  /// The optimizer. Its rate may be changed at any time. Its other options may be changed between two calls.
  Optimizer& optimizer() { return step_.optimizer; }
  const Optimizer& optimizer() const { return step_.optimizer; }
  const Loss& loss() const { return step_.loss; }
  const Schedule& schedule() const { return step_.options.schedule; }
  const TrainerOptions& options() const { return step_.options; }
  /// The optimizer's buffers, with the parameters' offsets. Optimizer::state_names has their names.
  std::vector<Memory<T>>& state() { return step_.guard().optimizer_state; }
  const std::vector<Memory<T>>& state() const { return step_.guard().optimizer_state; }
  Progress& progress() { return step_.progress(); }
  const Progress& progress() const { return step_.progress(); }
  /// The learning rate of the next update. After the last step of the schedule it is that of the last step.
  double learning_rate() const { return step_.rate_at(progress().step); }
  /// Samples of the last batch of an epoch that were left out, because BatchNorm needs more than one value per channel.
  std::uint64_t skipped() const { return step_.skipped; }

  /// If the last update was so large that its effect is unknown, runs the last batch through the network again. If the
  /// outputs are not finite, rolls the update back and throws NonFinite. Saving a model or a checkpoint calls it too.
  void verify_last_update() { step_.guard().verify(); }

  /// Call it after progress, weights, states or buffers were changed by other means than this trainer, for instance after
  /// statistics of BatchNorm were computed by model().forward() alone. Discards all pending work.
  void resume() {
    step_.guard().confirm();
    step_.forget();
    model().discard_pass();
    running_epoch_.forget();
    step_.finish_update();
  }

  // --- one step in separate calls --------------------------------------------------------------------------------------

  /// The outputs in training mode. x: rows of Model::inputs values in PyTorch's order, in memory of the host.
  OutputView forward(std::span<const T> x) { return step_.forward(x); }

  /// Computes loss and gradients for the batch of forward(). If the loss is not finite, restores the states, rolls back an
  /// update on probation, and throws NonFinite.
  LossSums backward(std::span<const Target> targets) {
    step_.require_no_micro_batches();
    step_.require_forward();
    step_.upload_targets(targets, model().batch());
    return step_.backward();
  }
  /// The same for the gradient of the mean of your own loss.
  void backward(OutputGradient<T> dy) { step_.backward(dy); }

  /// Adds the gradient of a micro-batch's summed loss, multiplied by `scale`, to the gradients of the update. The weight of
  /// the micro-batch is the loss's weight_sum times `scale`.
  LossSums accumulate(std::span<const Target> targets, double scale = 1) {
    constexpr double max = std::numeric_limits<T>::max();
    detail::check_option("Trainer", "a scale", "that the model's type can hold", scale, scale >= -max && scale <= max);
    step_.require_forward();
    step_.upload_targets(targets, model().batch());
    return step_.accumulate(scale);
  }
  /// The same for the gradient of the sum of your own loss over the micro-batch. `weight` is the weight of the micro-batch,
  /// for instance its number of samples.
  void accumulate(OutputGradient<T> dy, double weight) {
    detail::check_option("Trainer", "a weight", "of 0 or above", weight, weight >= 0 && math::is_finite(weight));
    step_.accumulate(dy, weight);
  }

  /// One step of the optimizer with model().gradients(). If the gradients or the new weights are not finite, restores
  /// weights and states and throws NonFinite.
  void update() { step_.update(); }

  /// Runs forward, loss and backward for the batch in model().input(). Throws like backward(targets).
  LossSums backward(const Target* targets, int batch) {
    step_.require_size(batch);
    step_.upload_targets({targets, static_cast<std::size_t>(batch) * Step::targets_per_sample()}, batch);
    step_.require_no_micro_batches();
    step_.forward_loaded(batch);
    return step_.backward();
  }

  /// Calls forward(), backward() and update() for `batch` samples: rows of Model::inputs values in PyTorch's order.
  LossSums step(const T* x, const Target* targets, int batch) {
    step_.require_size(batch);
    const std::size_t n = static_cast<std::size_t>(batch);
    return step({x, n * Model::inputs}, {targets, n * Step::targets_per_sample()});
  }
  LossSums step(std::span<const T> x, std::span<const Target> targets) {
    step_.require_targets(targets.size(), model().rows_of(x.size()));
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
  /// Cpu it converts the values of Samples, if they have other types. Throws Error if `data` does not fit the network or the
  /// loss.
  template <class Data>
  void prepare(const Data& data) {
    require_not_evaluating();
    detail::require_data<Step>(data);
    execution_.prepare(step_, data);
  }

  /// Runs the rest of the running epoch: all of `data` once, in an order that depends only on seed and epoch. The last
  /// batch may be smaller. `on_step(sums)` is called after each update (if steps are recorded, after up to steps_per_launch
  /// updates) with the sums of these updates. It may return false to stop. Returns true when the epoch is finished.
  /// Otherwise the next call continues where this one stopped.
  template <class Data, class OnStep>
  bool epoch(const Data& data, OnStep&& on_step) {
    require_not_evaluating();
    if (in_epoch_) throw Error("Trainer", "expected no epoch() in on_step of epoch(), got one");
    detail::require_data<Step>(data);
    detail::require_targets(data);
    const Flag now(in_epoch_);
    const std::uint64_t n = data.size();
    running_epoch_.begin_or_continue(data, progress().position);
    if (progress().position == 0) step_.require_batch(n);
    step_.require_batch(model().capacity());
    step_.abandon();
    if (progress().position == 0) {
      step_.skipped = 0;
      progress().sums = {};
    }
    while (progress().position < n) {
      if (n - progress().position < static_cast<std::uint64_t>(Step::smallest_batch)) {
        step_.skipped += n - progress().position;
        break;
      }
      step_.check_optimizer();
      const LossSums sums = execution_.advance(step_, data, n);
      progress().sums = progress().sums + sums;
      if (!goes_on(on_step, sums)) return false;
      if (!running_epoch_.is_known()) return false;  // on_step has abandoned it, or loaded a checkpoint
    }
    ++progress().epoch;
    progress().position = 0;
    running_epoch_.forget();
    model().set_step_state(step_.state_of_batch());
    return true;
  }
  template <class Data>
  LossSums epoch(const Data& data) {
    epoch(data, [](const LossSums&) {});
    return progress().sums;
  }

  /// Skips the rest of the running epoch. The next epoch() begins with the first sample of its data set.
  void abandon_epoch() {
    progress().position = 0;
    progress().sums = {};
    running_epoch_.forget();
    step_.abandon();
  }

  /// Loss and accuracy over all of `data`, in the order of the set, in inference mode. Throws Error between forward() and
  /// backward().
  template <class Data>
  [[nodiscard]] LossSums evaluate(const Data& data) {
    detail::require_targets(data);
    return evaluate(data, nullptr);
  }
  /// `on_batch(first sample, outputs)` gets the outputs of every batch in memory of the host. It may return false to stop.
  /// It may not call epoch(), evaluate() or prepare().
  template <class Data, class OnBatch>
  LossSums evaluate(const Data& data, OnBatch&& on_batch) {
    detail::require_data<Step>(data);
    if (model().awaits_backward())
      throw Error("Trainer",
                  "expected evaluate() before forward() or after backward(), got it between them, where it would "
                  "overwrite what backward() needs");
    require_not_evaluating();
    model().verify_last_update();  // with the batch that the evaluation will overwrite
    const Flag now(evaluating_);
    return execution_.evaluate(step_, data, on_batch);
  }

 private:
  static TrainerOptions with(TrainerOptions o, const Schedule& schedule) {
    o.schedule = schedule;
    return o;
  }

  // True while the object exists.
  class Flag {
   public:
    explicit Flag(bool& flag) : flag_(flag) { flag_ = true; }
    ~Flag() { flag_ = false; }
    Flag(const Flag&) = delete;
    Flag& operator=(const Flag&) = delete;

   private:
    bool& flag_;
  };

  void require_not_evaluating() const {
    if (evaluating_)
      throw Error("Trainer", "expected no epoch(), evaluate() or prepare() in on_batch of evaluate(), got one");
  }

  template <class OnStep>
  static bool goes_on(OnStep& on_step, const LossSums& sums) {
    if constexpr (std::is_void_v<decltype(on_step(sums))>)
      return on_step(sums), true;
    else
      return static_cast<bool>(on_step(sums));
  }

  Step step_;
  detail::RunningEpoch running_epoch_;
  execution::For<Step> execution_;
  bool in_epoch_ = false, evaluating_ = false;
};

template <class Model, class Optimizer>
Trainer(Model&, Optimizer) -> Trainer<Model, Optimizer, CrossEntropy>;
template <class Model, class Optimizer>
Trainer(Model&, Optimizer, TrainerOptions) -> Trainer<Model, Optimizer, CrossEntropy>;

}  // namespace tenon

TENON_IEEE_MATH_END
