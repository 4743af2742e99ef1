// Recorded: an execution for devices that can record launches and replay them (CUDA graphs). A recording contains one or
// several whole steps: gather, forward, loss, backward, check, update, and the change to the next step. All numbers that
// change from step to step are read from the StepState in memory of the device, which the recording itself advances.
//
// A step that is not finite, or an update of unusual size, stops the recorded steps before anything is changed. StepByStep
// then repeats the step, and names the layer or puts the update on probation. StepByStep also runs steps with data sets
// that the host streams.
//
// The device has (on Cuda in cuda/recorder.cuh)
//   Device::Recorder                                        from the device; EpochState host, and control in device memory
//   record(dev, recorder, key, steps, body)                 calls body() for each step while recording; nothing runs
//   find_recorded(recorder, key, steps), replay(dev, recorder, key, steps)
//   begin(dev, recorder), finish(dev, recorder)             copy recorder.host to the device and back; finish waits
//   keep_states, check_and_clip, add_micro_batch, next_step, add_evaluated    the recorded part of the bookkeeping
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "tenon/core/epoch_state.hpp"
#include "tenon/core/math.hpp"
#include "tenon/train/execution/step_by_step.hpp"
#include "tenon/train/guard.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::execution {

template <class Step>
class Recorded {
 public:
  using Device = typename Step::Device;
  using T = typename Step::T;
  using Recorder = typename Device::Recorder;

  explicit Recorded(Device& dev) : by_step_(dev), training_(dev), evaluation_(dev) {}

  template <class Data>
  void prepare(Step& t, const Data& data) {
    if constexpr (Loader<Step>::template is_resident<Data>) {
      by_step_.loader().source(t.model().device(), data);
      record_training<Data>(t, data.size());
      record_evaluation<Data>(t, data.size());
    }
  }

  /// Runs up to steps_per_launch updates with the next samples of an epoch of n samples. Returns the sums of their batches.
  template <class Data>
  LossSums advance(Step& t, const Data& data, std::uint64_t n) {
    if constexpr (Loader<Step>::template is_resident<Data>) {
      if (!math::is_finite(t.gain(t.optimizer.lr))) return by_step_.advance(t, data, n);  // weights that may grow
      by_step_.upload_source(t, data);
      record_training<Data>(t, n);  // an option of the optimizer may have been changed
      const std::uint64_t before = t.progress().step;
      bool stopped = false;
      const LossSums sums = recorded_steps<Data>(t, n, stopped);
      // The sums of earlier steps are returned first, because the repeated step may throw.
      return stopped && t.progress().step == before ? by_step_.advance(t, data, n) : sums;
    } else {
      return by_step_.advance(t, data, n);
    }
  }

  template <class Data, class OnBatch>
  LossSums evaluate(Step& t, const Data& data, OnBatch& on_batch) {
    if constexpr (Loader<Step>::template is_resident<Data>) {
      Device& dev = t.model().device();
      by_step_.upload_source(t, data);
      const std::uint64_t n = data.size(), capacity = static_cast<std::uint64_t>(t.model().capacity());
      record_evaluation<Data>(t, n);
      t.model().invalidate_views();
      StepByStep<Step>::set_step_state(t, 0);  // the recordings advance it
      evaluation_.host = {};
      begin(dev, evaluation_);
      t.model().begin_loading(Loader<Step>::template order_of<Data>);
      for (std::uint64_t first = 0; first < n; first += capacity) {
        const int batch = static_cast<int>(std::min(n - first, capacity));
        replay(dev, evaluation_, key<Data>(batch), 1);
        if (!StepByStep<Step>::show(t, first, batch, on_batch)) break;
      }
      finish(dev, evaluation_);
      t.model().set_step_state(t.state_of_batch());
      return evaluation_.host.sums;
    } else {
      return by_step_.evaluate(t, data, on_batch);
    }
  }

 private:
  // The key of a recording: the kind of data set and the samples of an update.
  template <class Data>
  static kernels::RecordingKey key(std::uint64_t samples) {
    static const char kind = 0;
    return {&kind, samples};
  }

  static int max_steps(const Step& t) {
    return std::clamp(t.options.steps_per_launch, 1, kernels::EpochState::max_steps);
  }
  // Calls f with each number of steps that one launch may run, the largest first: 64, 16, 4 and 1.
  template <class F>
  static void for_each_length(const Step& t, F f) {
    for (int length = max_steps(t); length > 0; length = length > 4 ? length / 4 : length > 1 ? 1 : 0) f(length);
  }
  // Calls f(samples of an update, updates) for the full updates of n samples, if any, and for the last, smaller one.
  template <class F>
  static void for_each_update_size(const Step& t, std::uint64_t n, F f) {
    const std::uint64_t full = samples_of_update(t);
    if (n >= full) f(full, n / full);
    if (n % full > 0) f(n % full, std::uint64_t{1});
  }
  static std::uint64_t samples_of_update(const Step& t) {
    return static_cast<std::uint64_t>(t.model().capacity()) * static_cast<std::uint64_t>(t.options.micro_batches);
  }
  // Calls f(samples) for each micro-batch of an update of `samples` samples. With BatchNorm, a last micro-batch of one
  // sample is left out.
  template <class F>
  static void for_each_micro_batch(const Step& t, std::uint64_t samples, F f) {
    const std::uint64_t capacity = static_cast<std::uint64_t>(t.model().capacity());
    for (std::uint64_t done = 0; done < samples; done += capacity)
      if (const int batch = static_cast<int>(std::min(samples - done, capacity)); batch >= Step::smallest_batch)
        f(batch);
  }

  // What for_each_micro_batch loads.
  struct Loaded {
    long long batches = 0;
    std::uint64_t samples = 0;
  };
  static Loaded loaded_of(const Step& t, std::uint64_t samples) {
    Loaded loaded;
    for_each_micro_batch(t, samples, [&](int batch) {
      ++loaded.batches;
      loaded.samples += static_cast<std::uint64_t>(batch);
    });
    return loaded;
  }

  // Restores what the model knows of its last pass, and the step of its micro-batches. A recording changes them but runs
  // nothing.
  class KeepPass {
   public:
    explicit KeepPass(Step& t) : model_(t.model()), pass_(model_.pass()), tree_(t.tree()), counts_(tree_.counts()) {
      tree_.clear();
    }
    ~KeepPass() {
      model_.set_pass(pass_);
      tree_.set_counts(counts_);
    }
    KeepPass(const KeepPass&) = delete;
    KeepPass& operator=(const KeepPass&) = delete;

   private:
    typename Step::model_type& model_;
    typename Step::model_type::Pass pass_;
    std::remove_cvref_t<decltype(std::declval<Step&>().tree())>& tree_;
    typename std::remove_cvref_t<decltype(std::declval<Step&>().tree())>::Counts counts_;
  };

  template <class Data>
  void record_training(Step& t, std::uint64_t n) {
    const KeepPass keep(t);
    auto same = std::as_const(t).optimizer;
    if (recorded_for_) same.lr = recorded_for_->lr;  // the rate is read from the StepState
    if (!recorded_for_ || !(same == *recorded_for_)) {
      training_.clear();
      recorded_for_ = std::as_const(t).optimizer;
    }
    for_each_update_size(t, n, [&](std::uint64_t samples, std::uint64_t updates) {
      if (samples < static_cast<std::uint64_t>(Step::smallest_batch)) return;
      for_each_length(t, [&](int length) {
        if (static_cast<std::uint64_t>(length) <= updates && !find_recorded(training_, key<Data>(samples), length))
          record(t.model().device(), training_, key<Data>(samples), length, [&] { record_step<Data>(t, samples); });
      });
    });
  }

  template <class Data>
  void record_step(Step& t, std::uint64_t samples) {
    auto& model = t.model();
    Device& dev = model.device();
    const StepPointer<Device> step(model.step_address());
    if (model.states().size > 0)
      keep_states(dev, step, static_cast<const T*>(model.states().data), model.saved_states().data,
                  model.states().size);
    const bool micro = samples > static_cast<std::uint64_t>(model.capacity()) || t.options.micro_batches > 1;
    const std::uint64_t loaded = loaded_of(t, samples).samples;
    for_each_micro_batch(t, samples, [&](int batch) {
      by_step_.loader().template gather<Data>(t, step, Pass::training, batch);
      model.launch_forward(batch);
      t.launch_loss(batch, micro ? Reduction::sum : Reduction::mean);
      model.launch_backward();
      if (micro) {
        t.tree().add(model);
        add_micro_batch(dev, training_, model.step_address(), model.sums_address(), batch);
      }
    });
    if (micro) t.tree().finish(model);
    check_and_clip(dev, training_, model.step_address(), model.sums_address(),
                   Span<const T>{model.gradients().data, model.gradients().size}, t.options.clip_norm,
                   detail::unusual_update / t.gain(0), micro, loaded);
    t.launch_update();
    next_step(dev, training_, model.step_address(), model.sums_address(), loaded, micro);
  }

  template <class Data>
  void record_evaluation(Step& t, std::uint64_t n) {
    const KeepPass keep(t);
    auto& model = t.model();
    Device& dev = model.device();
    const auto one = [&](int batch) {
      if (find_recorded(evaluation_, key<Data>(batch), 1)) return;
      record(dev, evaluation_, key<Data>(batch), 1, [&] {
        by_step_.loader().template gather<Data>(t, StepPointer<Device>(model.step_address()), Pass::evaluation, batch);
        StepByStep<Step>::launch_evaluation(t, batch);
        add_evaluated(dev, evaluation_, model.step_address(), model.sums_address(), batch);
      });
    };
    const std::uint64_t capacity = static_cast<std::uint64_t>(model.capacity());
    if (n >= capacity) one(model.capacity());
    if (n % capacity > 0) one(static_cast<int>(n % capacity));
  }

  template <class Data>
  LossSums recorded_steps(Step& t, std::uint64_t n, bool& stopped) {
    auto& model = t.model();
    Device& dev = model.device();
    const Progress& p = t.progress();
    const std::uint64_t full = samples_of_update(t), left = n - p.position, samples = std::min(left, full),
                        max = static_cast<std::uint64_t>(max_steps(t));
    t.options.schedule.require_step(static_cast<std::int64_t>(p.step));
    const std::uint64_t steps =
        std::min(samples < full ? 1 : std::min(left / full, max - p.step % max), t.options.schedule.steps_from(p.step));
    EpochState& control = training_.host;
    control = {};
    control.first_step = static_cast<std::uint32_t>(p.step);
    for (std::uint64_t i = 0; i <= steps; ++i) control.learning_rates[i] = t.rate_at(p.step + i);
    begin(dev, training_);
    model.begin_loading(Loader<Step>::template order_of<Data>);
    StepState state = t.state_of_batch();
    state.learning_rate = control.learning_rates[0];
    model.set_step_state(state);
    model.publish_step_state();
    model.invalidate_views();
    std::uint64_t rest = steps;
    for_each_length(t, [&](int length) {
      for (; rest >= static_cast<std::uint64_t>(length); rest -= static_cast<std::uint64_t>(length))
        replay(dev, training_, key<Data>(samples), length);
    });
    finish(dev, training_);
    download(dev, static_cast<const StepState*>(model.step_address()), &state, 1);

    const std::uint64_t made = state.step - control.first_step;
    const Loaded loaded = loaded_of(t, samples);
    stopped = state.stopped != 0;
    model.count_steps(static_cast<long long>(made) * loaded.batches);
    t.count_updates(made, made * samples);
    t.skipped += made * (samples - loaded.samples);
    if (stopped) {
      const T* const saved = model.saved_states().data;
      copy(dev, saved, model.states().data, model.states().size);
    }
    t.finish_update();
    return control.sums;
  }
  using EpochState = kernels::EpochState;

  StepByStep<Step> by_step_;
  Recorder training_, evaluation_;
  std::optional<typename Step::optimizer_type> recorded_for_;
};

}  // namespace tenon::execution

TENON_IEEE_MATH_END
