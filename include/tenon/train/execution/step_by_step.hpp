// StepByStep: an execution in which the host launches each kernel separately. It supports every device and every kind of
// data.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "tenon/core/device.hpp"
#include "tenon/core/loss_sums.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/data/dataset.hpp"
#include "tenon/train/running_epoch.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::execution {

/// Loads batches of a data set into memory of the device.
template <class Step>
class Loader {
 public:
  using Device = typename Step::Device;
  using T = typename Step::T;
  using Target = typename Step::Target;
  using Model = typename Step::model_type;

  explicit Loader(Device& dev) : source_(allocate<std::byte>(dev, source_bytes)), step_(allocate<StepState>(dev, 1)) {}

  template <class Data>
  static constexpr bool is_resident = contract::ResidentData<Data, T, Target, Device>;

  /// Uploads the Source of a resident data set to memory of the device, for its kernel. Returns the address, which is the
  /// same for all data sets of one kind.
  template <class Data>
  DevicePointerOf<Device, const typename Data::template Source<T, Target>> source(Device& dev, const Data& data) {
    using Source = typename Data::template Source<T, Target>;
    static_assert(std::is_trivially_copyable_v<Source> && sizeof(Source) <= source_bytes,
                  "tenon: a data set's Source is a trivially copyable value of at most 512 bytes");
    const Source s = data.template source<T, Target>(dev);
    upload(dev, reinterpret_cast<const std::byte*>(&s), source_.data(), sizeof(Source));
    return address<Data>();
  }
  template <class Data>
  DevicePointerOf<Device, const typename Data::template Source<T, Target>> address() {
    using Source = typename Data::template Source<T, Target>;
    return DevicePointerOf<Device, const Source>(reinterpret_cast<const Source*>(source_.data()));
  }

  /// The order in which Data's images are gathered.
  template <class Data>
  static constexpr InputOrder order_of = (Model::takes_channels_last) && contract::ChannelsLastData<Data>
                                             ? InputOrder::channels_last
                                             : InputOrder::planar;

  /// Launches the kernel that gathers the batch at `step` into the model's input and the trainer's targets.
  template <class Data>
  void gather(Step& t, StepPointer<Device> step, Pass pass, int batch) {
    Model& model = t.model();
    model.begin_loading(order_of<Data>);
    const auto x = model.first_input(batch);
    if constexpr (!detail::targets_fit<Step, Data>())
      return;  // Trainer has given the one error
    else if constexpr (order_of<Data> == InputOrder::channels_last)
      Data::gather_channels_last(model.device(), address<Data>(), step, pass, x, t.targets());
    else
      Data::gather(model.device(), address<Data>(), step, pass, x, t.targets(), t.targets_per_sample());
  }

  /// Loads the batch at step state `at` into the model's input and the trainer's targets.
  template <class Data>
  void load(Step& t, const Data& data, const StepState& at, Pass pass, int batch) {
    Model& model = t.model();
    Device& dev = model.device();
    if constexpr (is_resident<Data>) {
      upload(dev, &at, step_.data(), 1);
      gather<Data>(t, StepPointer<Device>(step_.data()), pass, batch);
    } else {
      static_assert(contract::StreamedData<Data, T, Target, Model::inputs>,
                    "tenon: a data set needs size(), and either source() with gather() or read() "
                    "(data/dataset.hpp)");
      const auto x = model.first_input(batch);
      model.begin_loading(InputOrder::planar);
      rows_.resize(x.size());
      targets_.resize(static_cast<std::size_t>(batch) * static_cast<std::size_t>(t.targets_per_sample()));
      data.read(at, pass, View<T, Batch, Model::inputs>(rows_.data(), batch), targets_.data());
      upload(dev, static_cast<const T*>(rows_.data()), x.data, rows_.size());
      upload(dev, static_cast<const Target*>(targets_.data()), t.targets(), targets_.size());
    }
  }
  typename Device::template Buffer<StepState>& step() { return step_; }

 private:
  static constexpr std::size_t source_bytes = 512;

  typename Device::template Buffer<std::byte> source_;  // recordings point into it
  typename Device::template Buffer<StepState> step_;    // of the gathered batch
  std::vector<T> rows_;                                 // a batch of a streamed data set before its upload
  std::vector<Target> targets_;
};

template <class Step>
class StepByStep {
 public:
  using Device = typename Step::Device;

  explicit StepByStep(Device& dev) : loader_(dev) {}

  /// Converts and copies the data of a resident set.
  template <class Data>
  void prepare(Step& t, const Data& data) {
    upload_source(t, data);
  }

  /// Called by each advance() and evaluate(), because on_step may have evaluated other data.
  template <class Data>
  void upload_source(Step& t, const Data& data) {
    if constexpr (Loader<Step>::template is_resident<Data>) loader_.source(t.model().device(), data);
  }

  /// Runs one update with the next samples of an epoch of n samples. Returns the sums of its batches.
  template <class Data>
  LossSums advance(Step& t, const Data& data, std::uint64_t n) {
    return t.or_restore([&] { return advance_one(t, data, n); });
  }

  template <class Data, class OnBatch>
  LossSums evaluate(Step& t, const Data& data, OnBatch& on_batch) {
    upload_source(t, data);
    LossSums sums;
    auto& model = t.model();
    const std::uint64_t n = data.size(), capacity = static_cast<std::uint64_t>(model.capacity());
    StepState at;
    for (at.first_sample = 0; at.first_sample < n; at.first_sample += capacity) {
      const int batch = static_cast<int>(std::min(n - at.first_sample, capacity));
      loader_.load(t, data, at, Pass::evaluation, batch);
      set_step_state(t, at.first_sample);
      launch_evaluation(t, batch);
      sums = sums + model.read_sums();
      if (!show(t, at.first_sample, batch, on_batch)) break;
    }
    model.set_step_state(t.state_of_batch());
    return sums;
  }

  /// Gives layers and the loss the step state of an evaluated batch.
  static void set_step_state(Step& t, std::uint64_t first_sample) {
    StepState state = t.state_of_batch();
    state.first_sample = first_sample;
    t.model().set_step_state(state);
    t.model().publish_step_state();
  }

  /// Computes outputs and loss of the loaded batch in inference mode.
  static void launch_evaluation(Step& t, int batch) {
    auto& model = t.model();
    model.invalidate_views();
    model.launch_predict(batch);
    t.launch_evaluation_loss(batch);
  }
  /// Passes the outputs to on_batch. Returns whether to continue.
  template <class OnBatch>
  static bool show(Step& t, std::uint64_t first, int batch, OnBatch& on_batch) {
    if constexpr (!std::is_same_v<std::remove_cvref_t<OnBatch>, std::nullptr_t>) {
      using Model = typename Step::model_type;
      const auto y = t.model().inference_output();
      const View<const typename Step::T, Batch, Model::outputs> here(
          t.host_outputs()(t.model().device(), y.data, static_cast<std::size_t>(batch) * Model::outputs), batch);
      if constexpr (std::is_void_v<decltype(on_batch(first, here))>)
        on_batch(first, here);
      else
        return static_cast<bool>(on_batch(first, here));
    }
    return true;
  }

  Loader<Step>& loader() { return loader_; }

 private:
  template <class Data>
  LossSums advance_one(Step& t, const Data& data, std::uint64_t n) {
    upload_source(t, data);
    const std::uint64_t capacity = static_cast<std::uint64_t>(t.model().capacity());
    std::uint64_t done = 0;
    LossSums sums;
    const int micro = t.options.micro_batches;
    for (int k = 0; k < micro; ++k) {
      const std::uint64_t left = n - t.progress().position - done;
      const int batch = static_cast<int>(std::min(left, capacity));
      if (batch < Step::smallest_batch) break;
      StepState at = t.state_of_batch();
      loader_.load(t, data, at, Pass::training, batch);
      t.forward_loaded(batch);
      sums = sums + (micro == 1 ? t.backward() : t.accumulate(1));
      done += static_cast<std::uint64_t>(batch);
    }
    t.update();
    t.count_updates(0, done);
    t.finish_update();
    return sums;
  }

  Loader<Step> loader_;
};

}  // namespace tenon::execution

TENON_IEEE_MATH_END
