// Trainer: a model, an optimizer, a loss and a schedule, and the loop over them.
//   Trainer trainer(model, Adam{.lr = 1e-3});
//   trainer.step(x, labels, 128);              one batch of yours
//   trainer.epoch(data);                       all of a data set, shuffled by the model's seed
//   trainer.evaluate(test).accuracy();
// A step is backward(), then update(); both are public, and what lies between them is yours.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tenon/cpu/reduce.hpp"
#include "tenon/losses/cross_entropy.hpp"
#include "tenon/optimizers/schedule.hpp"
#include "tenon/train/model.hpp"

namespace tenon {

/// The loss, a gradient or an update is NaN or infinite. The weights are those before the step; where the last update was
/// a large one, those before that, which are known to give a finite loss.
class NonFinite : public Error {
 public:
  NonFinite(std::string_view what, std::uint64_t at_step, std::string first_seen_in)
      : Error("train", "expected a finite " + std::string(what) + ", got NaN or infinity in step " +
                           std::to_string(at_step) + ", first in " + first_seen_in +
                           ": lower the learning rate, clip the gradient, or look for bad values in the data"),
        step(at_step),
        layer(std::move(first_seen_in)) {}

  std::uint64_t step;
  std::string layer;
};

/// Where a training stands: all that a resumed one must know, besides weights, states and the optimizer's.
struct Progress {
  std::uint64_t step = 0;      // updates made
  std::uint32_t epoch = 0;     // epochs finished
  std::uint64_t position = 0;  // samples of the running epoch that are done
  LossSums sums{};             // of the running epoch
};

struct TrainerOptions {
  double clip_norm = 0;     // largest global norm of the gradient; 0: any
  int steps_a_launch = 64;  // on Cuda: so many steps, at most, before the host looks at their sums
};

template <class Model, class Optimizer, class Loss = CrossEntropy>
class Trainer {
 public:
  using T = typename Model::T;
  template <class V>
  using Memory = typename Model::template Memory<V>;
  using Target = typename Loss::Target;

  explicit Trainer(Model& model, Optimizer optimizer, Loss loss = {}, Schedule schedule = {},
                   TrainerOptions options = {})
      : optimizer_(std::move(optimizer)),
        loss_(std::move(loss)),
        schedule_(schedule),
        options_(options),
        model_(model),
        targets_(allocate<Target>(model.device(), static_cast<std::size_t>(model.capacity()) * targets_a_sample())),
        outputs_(static_cast<std::size_t>(model.capacity()) * Model::outputs),
        recorder_(recorder_of(model.device())),
        evaluator_(recorder_of(model.device())) {
    if constexpr (requires { optimizer_.check(); }) optimizer_.check();
    detail::check_option("Trainer", "a learning rate", "of 0 or above", optimizer_.lr, optimizer_.lr >= 0);
    detail::check_option("Trainer", "a clip_norm", "of 0 (none) or above", options_.clip_norm, options_.clip_norm >= 0);
    for (int s = 0; s < Optimizer::states; ++s) state_.push_back(allocate<T>(model.device(), model.parameters().size));
    lay_out_ranges();
    if constexpr (!host_memory) measure_scratch(model.device(), [this] { take_all_scratch(); });
    if constexpr (can_record) source_ = allocate<ImageSource<T>>(model.device(), 1);
  }

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const Loss& loss() const { return loss_; }
  const Schedule& schedule() const { return schedule_; }
  /// The optimizer's own buffers, with the parameters' offsets; Optimizer::state_names gives their names.
  std::vector<Memory<T>>& state() { return state_; }
  const std::vector<Memory<T>>& state() const { return state_; }
  Progress& progress() { return progress_; }
  const Progress& progress() const { return progress_; }
  double learning_rate() const { return optimizer_.lr * schedule_.at(static_cast<std::int64_t>(progress_.step)); }
  /// Samples of the last batch of an epoch that were left out, because BatchNorm needs more than one value a channel.
  std::uint64_t skipped() const { return skipped_; }

  /// To be called before weights are saved between two steps: where the last update was so large that no one knows yet
  /// what it did, the last batch is put through the network again. Throws NonFinite, with that update taken back.
  void settle() {
    if (!backed_up_) return;
    const std::string layer = model_.first_non_finite(batch_);
    if (layer.empty()) return;
    const std::uint64_t step = progress_.step;
    take_back();
    throw NonFinite("output", step, layer);
  }

  /// Forward, loss and backward for the batch in model().input(). Throws NonFinite, with the states as they were, and a
  /// large update before it taken back.
  LossSums backward(const Target* targets, int batch) {
    if constexpr (host_memory) {
      return backward_of(targets, batch);
    } else {
      upload(model_.device(), targets, targets_.data(), static_cast<std::size_t>(batch) * targets_a_sample());
      return backward_of(targets_.data(), batch);
    }
  }

 private:
  // The same for targets in the device's memory.
  LossSums backward_of(const Target* targets, int batch) {
    if (batch < smallest_batch)
      throw Error("train",
                  "expected a batch of at least 2 samples, because BatchNorm over (B, C) needs more than one value a "
                  "channel, got 1");
    batch_ = batch;
    model_.set_position(static_cast<std::uint32_t>(progress_.step), progress_.position);
    model_.save_states();
    const LossSums sums = model_.backward(loss_, targets, batch);
    if (!std::isfinite(sums.loss())) {
      model_.restore_states();
      const std::string layer = model_.first_non_finite(batch);
      const std::uint64_t step = progress_.step + 1;
      if (backed_up_) take_back();
      throw NonFinite("loss", step, layer.empty() ? "the loss" : layer);
    }
    backed_up_ = false;
    return sums;
  }

 public:
  /// One step of the optimizer with model().gradients(). Throws NonFinite, with weights and states as they were.
  void update() {
    auto& dev = model_.device();
    const double norm2 = sum_of_squares(dev, Span<const T>{model_.gradients().data, model_.gradients().size});
    if (!std::isfinite(norm2)) {
      model_.restore_states();
      const std::string layer = model_.first_non_finite_gradient();
      throw NonFinite("gradient", progress_.step + 1, layer.empty() ? "its norm" : layer);
    }
    const double norm = std::sqrt(norm2);
    const double scale = options_.clip_norm > 0 && norm > options_.clip_norm ? options_.clip_norm / norm : 1;
    const double lr = learning_rate();
    // An update of ordinary size cannot overflow. One that might, or that might ruin the weights, is made on probation.
    const bool large = !(lr * (1 + norm * scale) < unusual);
    if (large) back_up();
    update_ranges(lr, scale);
    if (large && !all_finite(dev, Span<const T>{model_.parameters().data, model_.parameters().size})) {
      const std::string layer = model_.first_non_finite_parameter();
      take_back();
      throw NonFinite("update", progress_.step + 1, layer.empty() ? "the weights" : layer);
    }
    ++progress_.step;
  }

  /// backward() and update() for `batch` samples of yours: rows of Model::inputs values in PyTorch's order.
  LossSums step(const T* x, const Target* targets, int batch) {
    const auto in = model_.input(batch);
    upload(model_.device(), x, in.data, in.size());
    const LossSums sums = backward(targets, batch);
    update();
    return sums;
  }

  /// The same for a batch in a view, say of a Tensor.
  template <int... D>
  LossSums step(View<const T, Batch, D...> x, const Target* targets) {
    static_assert((1 * ... * D) == Model::inputs, "tenon::Trainer::step: x holds as many values a sample as the Input");
    return step(x.data, targets, x.batch);
  }
  template <int... D>
  LossSums step(View<T, Batch, D...> x, const Target* targets) {
    return step(View<const T, Batch, D...>(x), targets);
  }

  /// Makes now what epoch(data) and evaluate(data) make when they are first called: on Cuda the graphs that they replay,
  /// which do for every data set of that size, and the data's copy in the memory of the device. From then on they allocate
  /// nothing, until a hyper-parameter of the optimizer other than its rate is changed. On the Cpu it does nothing.
  template <class Data>
  void prepare(const Data& data) {
    if constexpr (records<Data>()) {
      static_cast<void>(data.template source<T>(model_.device(), {}, {}));
      prepare_steps(data.size());
    }
    if constexpr (can_record) prepare_evaluation(data.size());
  }

  /// The rest of the running epoch: all of `data` once, in an order fixed by seed and epoch, the last batch as small as
  /// it comes. After each step (on Cuda: up to steps_a_launch steps) `on_step(their sums)` says whether to go on. True
  /// when the epoch is finished; otherwise the next call goes on where this one stopped.
  template <class Data, class OnStep>
  bool epoch(const Data& data, OnStep&& on_step) {
    require_targets(data);
    const std::uint64_t n = data.size(), capacity = static_cast<std::uint64_t>(model_.capacity());
    const random::Permutation order{{model_.seed().value, random::Use::shuffle, 0, progress_.epoch}, n};
    const random::Key augment{model_.seed().value, random::Use::augment, 0, progress_.epoch};
    if constexpr (records<Data>()) {
      prepare_steps(n);
      const ImageSource<T> source = data.template source<T>(model_.device(), order, augment);
      source.images.require_sample(Model::inputs, Normalisation<T>::most_channels);
      upload(model_.device(), &source, source_.data(), 1);
    }
    while (progress_.position < n) {
      const int batch = static_cast<int>(n - progress_.position < capacity ? n - progress_.position : capacity);
      if (batch < smallest_batch) {
        skipped_ = static_cast<std::uint64_t>(batch);
        break;
      }
      LossSums sums;
      bool stepped = false;
      if constexpr (records<Data>()) {
        const std::uint64_t left = batch == model_.capacity() ? (n - progress_.position) / capacity : 1;
        sums = recorded_steps(batch, left, stepped);
      }
      if (!stepped) {
        data.shuffled(model_.device(), order, augment, progress_.position, model_.input(batch), targets_.data());
        const LossSums one = backward_of(targets_.data(), batch);
        update();
        progress_.position += static_cast<std::uint64_t>(batch);
        sums = sums + one;
        progress_.sums = progress_.sums + one;
      }
      if (!on_step(sums)) return false;
    }
    ++progress_.epoch;
    progress_.position = 0;
    return true;
  }
  template <class Data>
  LossSums epoch(const Data& data) {
    if (progress_.position == 0) progress_.sums = {};
    epoch(data, [](const LossSums&) { return true; });
    return progress_.sums;
  }

  /// Loss and accuracy over all of `data`, in its own order, as at inference.
  template <class Data>
  LossSums evaluate(const Data& data) {
    return evaluate(data, Unseen{});
  }
  /// `on_batch(first sample, outputs)` sees the outputs of every batch, and says whether to go on. On Cuda each batch is a
  /// launch of a graph, and their sums stay there until the end.
  template <class Data, class OnBatch>
  LossSums evaluate(const Data& data, OnBatch&& on_batch) {
    require_targets(data);
    auto& dev = model_.device();
    LossSums sums;
    const std::uint64_t n = data.size(), capacity = static_cast<std::uint64_t>(model_.capacity());
    if constexpr (can_record) {
      prepare_evaluation(n);
      evaluator_.host = {};
      begin(dev, evaluator_);
    }
    for (std::uint64_t first = 0; first < n; first += capacity) {
      const int batch = static_cast<int>(n - first < capacity ? n - first : capacity);
      data.in_order(dev, first, model_.input(batch), targets_.data());
      if constexpr (can_record) {
        replay(dev, evaluator_, batch, 1);
      } else {
        sums = sums + evaluate_batch(batch);
      }
      if constexpr (!std::is_same_v<std::remove_cvref_t<OnBatch>, Unseen>) {
        const std::size_t values = static_cast<std::size_t>(batch) * Model::outputs;
        if (!on_batch(first, View<const T, Batch, Model::outputs>(outputs_(dev, predicted_, values), batch))) break;
      }
    }
    if constexpr (can_record) {
      finish(dev, evaluator_);
      sums = evaluator_.host.sums;
    }
    return sums;
  }

 private:
  struct Range {
    std::size_t begin, size;
    bool decay;
  };

  static constexpr double unusual = 1e3;  // an update with lr (1 + norm) beyond it is made on probation

  using Device = typename Model::device_type;
  static constexpr bool host_memory = Device::host_memory;
  static constexpr bool can_record = requires { typename Device::Recorder; };
  static constexpr bool can_record_steps = can_record && std::is_same_v<Target, std::int32_t>;  // labels are gathered
  struct Unseen {};  // in place of an on_batch

  template <class Data>
  void require_targets(const Data& data) const {
    if constexpr (requires { data.targets_a_sample(); })
      if (data.targets_a_sample() != targets_a_sample())
        throw Error("Trainer",
                    "expected data of " + std::to_string(targets_a_sample()) +
                        " targets a sample, as the loss takes, got " + std::to_string(data.targets_a_sample()) +
                        (std::is_same_v<Target, std::int32_t> ? ": a label is the number of its class" : ""));
  }
  std::size_t targets_a_sample() const {
    return static_cast<std::size_t>(Loss::template targets_a_sample<Model::outputs>());
  }

  void update_ranges(double lr, double scale) {
    for (const Range& r : ranges_) {
      Span<T> states[Optimizer::states > 0 ? Optimizer::states : 1];
      for (int s = 0; s < Optimizer::states; ++s) states[s] = {state_[s].data() + r.begin, r.size};
      optimizer_.update(model_.device(), Span<T>{model_.parameters().data + r.begin, r.size},
                        Span<const T>{model_.gradients().data + r.begin, r.size}, states, lr, scale, progress_.step,
                        r.decay);
    }
  }

  // Whether steps on that data can be recorded once and replayed: where the device can, and gathers images from its own
  // memory.
  template <class Data>
  static constexpr bool records() {
    return can_record_steps && requires(const Data& d, Device& dev) { d.template source<T>(dev, {}, {}); };
  }
  struct NoRecorder {};
  template <class D>
  static auto recorder_of(const D& dev) {
    if constexpr (can_record)
      return typename D::Recorder(dev.ordinal());
    else
      return NoRecorder{};
  }

  int most_steps() const { return std::clamp(options_.steps_a_launch, 1, kernels::CudaControl::most_steps); }

  // f(a number of steps that one launch makes), the largest first: 64, 16, 4 and 1, say.
  template <class F>
  void for_each_length(F f) const {
    for (int length = most_steps(); length > 0; length = length > 4 ? length / 4 : length > 1 ? 1 : 0) f(length);
  }

  // The graphs of an epoch of n samples: of its full batches, however they fall into launches, and of the tail. They hold
  // for one optimizer.
  void prepare_steps(std::uint64_t n) requires can_record_steps {
    static_assert(std::is_trivially_copyable_v<Optimizer>,
                  "tenon::Trainer: an optimizer is a trivially copyable value");
    std::array<unsigned char, sizeof(Optimizer)> bytes;
    std::memcpy(bytes.data(), &optimizer_, sizeof optimizer_);
    const auto rate =
        reinterpret_cast<const unsigned char*>(&optimizer_.lr) - reinterpret_cast<const unsigned char*>(&optimizer_);
    std::fill_n(bytes.data() + rate, sizeof optimizer_.lr,
                0);  // the rates of the steps are told apart from the recording
    if (bytes != recorded_for_) recorder_.graphs.clear();
    recorded_for_ = bytes;
    for_each_batch_size(n, [&](int batch, std::uint64_t batches) {
      if (batch < smallest_batch) return;
      for_each_length([&](int length) {
        if (static_cast<std::uint64_t>(length) <= batches && !find_recorded(recorder_, batch, length))
          record(model_.device(), recorder_, batch, length, [&] { record_step(batch); });
      });
    });
  }

  void prepare_evaluation(std::uint64_t n) requires can_record {
    for_each_batch_size(n, [&](int batch, std::uint64_t) {
      if (!find_recorded(evaluator_, batch, 1))
        record(model_.device(), evaluator_, batch, 1, [&] {
          evaluate_batch(batch);
          add_sums(model_.device(), evaluator_);
        });
    });
  }

  // f(samples, batches) for the full batches of n samples, if there are any, and for the tail.
  template <class F>
  void for_each_batch_size(std::uint64_t n, F f) const {
    const std::uint64_t capacity = static_cast<std::uint64_t>(model_.capacity());
    if (n >= capacity) f(model_.capacity(), n / capacity);
    if (n % capacity > 0) f(static_cast<int>(n % capacity), 1);
  }

  // Up to `left` steps of `batch` samples in a few launches; their sums. What cannot be made so is left to the caller: then
  // `all` is false, and the step that comes next is the one to look at.
  LossSums recorded_steps(int batch, std::uint64_t left, bool& all) requires can_record_steps {
    auto& dev = model_.device();
    auto& control = recorder_.host;
    const std::uint64_t most = static_cast<std::uint64_t>(most_steps());
    const std::uint64_t steps = std::min(left, most - progress_.step % most);
    control = {};
    control.cursor.first_sample = progress_.position;
    control.cursor.step = static_cast<std::uint32_t>(progress_.step);
    control.cursor.epoch = progress_.epoch;
    control.cursor.learning_rate = learning_rate();
    control.rates_from = control.cursor.step;
    for (std::uint64_t i = 0; i <= steps; ++i)
      control.rates[i] = optimizer_.lr * schedule_.at(static_cast<std::int64_t>(progress_.step + i));
    begin(dev, recorder_);
    std::uint64_t rest = steps;
    for_each_length([&](int length) {
      for (; rest >= static_cast<std::uint64_t>(length); rest -= static_cast<std::uint64_t>(length))
        replay(dev, recorder_, batch, length);
    });
    finish(dev, recorder_);

    const std::uint64_t made = control.cursor.step - control.rates_from;
    all = control.cursor.stopped == 0;
    model_.count_steps(static_cast<long long>(made));
    progress_.step += made;
    progress_.position += made * static_cast<std::uint64_t>(batch);
    progress_.sums = progress_.sums + control.sums;
    if (made > 0) backed_up_ = false;
    if (!all) model_.restore_recorded_states();
    return control.sums;
  }

  void record_step(int batch) requires can_record_steps {
    auto& dev = model_.device();
    gather_recorded(dev, std::as_const(source_).data(), model_.input(batch), targets_.data());
    model_.save_states_in(recorder_);
    model_.backward(loss_, targets_.data(), batch);
    model_.count_steps(-1);  // it was not made
    judge(dev, recorder_, Span<const T>{model_.gradients().data, model_.gradients().size}, options_.clip_norm, unusual);
    update_ranges(0, 1);
    advance(dev, recorder_, batch);
  }

  // Loss and outputs for the batch that was gathered, as at inference.
  LossSums evaluate_batch(int batch) {
    const auto y = model_.predict(batch);
    predicted_ = y.data;
    return loss_(model_.device(), y, targets_.data(), View<T, Batch, Model::outputs>(nullptr, batch));
  }

  // One call of everything here that takes scratch memory besides the model.
  void take_all_scratch() {
    const int batch = model_.capacity();
    const auto y = model_.forward(batch);
    loss_(model_.device(), y, targets_.data(), model_.output_gradient());
    model_.count_steps(-1);
    sum_of_squares(model_.device(), Span<const T>{model_.gradients().data, model_.gradients().size});
    all_finite(model_.device(), Span<const T>{model_.parameters().data, model_.parameters().size});
    update_ranges(0, 1);
  }

  // BatchNorm over (B, C) or one pixel has one value a channel for each sample, so one sample is not enough.
  static constexpr int smallest_batch = [] {
    const auto& g = Model::Network::graph;
    for (int k = 0; k < g.count; ++k)
      if (g.nodes[k].spec.couples_batch && g.nodes[k].in_dims.count() == g.nodes[k].in_dims[0]) return 2;
    return 1;
  }();

  // All that a step of unusual size changes, as it was before. Allocated by the first of them, if there is one.
  void back_up() {
    auto& dev = model_.device();
    if (backup_.empty()) for_each_changed([&](Span<T> of) { backup_.push_back(allocate<T>(dev, of.size)); });
    auto backup = backup_.begin();
    for_each_changed([&](Span<T> of) { copy(dev, of.data, (backup++)->data(), of.size); });
    backup_counters_ = model_.saved_counters();
    backup_progress_ = progress_;
    backed_up_ = true;
  }
  void take_back() {
    auto& dev = model_.device();
    auto backup = backup_.begin();
    for_each_changed([&](Span<T> of) { copy(dev, (backup++)->data(), of.data, of.size); });
    model_.saved_counters() = backup_counters_;
    model_.restore_states();
    progress_ = backup_progress_;
    backed_up_ = false;
  }
  template <class F>
  void for_each_changed(F f) {
    f(model_.parameters());
    for (auto& s : state_) f(s.span());
    f(model_.saved_states());
  }

  // Neighbours with the same decay are one range; the padding between them holds zeros and stays zero.
  void lay_out_ranges() {
    std::size_t end = model_.parameters().size;
    const auto& tensors = model_.tensors();
    for (std::size_t i = tensors.size(); i-- > 0;) {
      const plan::Tensor& t = tensors[i];
      if (t.kind != plan::Tensor::Kind::parameter) continue;
      const bool decay = t.decay || optimizer_.decays_everything();
      const std::size_t begin = static_cast<std::size_t>(t.offset);
      if (!ranges_.empty() && ranges_.back().decay == decay) {
        ranges_.back().size += ranges_.back().begin - begin;
        ranges_.back().begin = begin;
      } else {
        ranges_.push_back({begin, end - begin, decay});
      }
      end = begin;
    }
  }

  Optimizer optimizer_;
  Loss loss_;
  Schedule schedule_;
  TrainerOptions options_;
  Model& model_;
  Memory<Target> targets_;
  const T* predicted_ = nullptr;           // where the outputs of a batch that is evaluated are,
  kernels::ForHost<Device, T> outputs_;    // and where the host sees them
  std::vector<Memory<T>> state_, backup_;  // the optimizer's; all that a step changes
  std::vector<long long> backup_counters_;
  Progress backup_progress_;
  bool backed_up_ = false;  // the last update was large, and no loss has been seen since
  int batch_ = 1;           // samples of the last step
  std::vector<Range> ranges_;
  Progress progress_;
  std::uint64_t skipped_ = 0;
  decltype(recorder_of(std::declval<const Device&>())) recorder_, evaluator_;
  std::array<unsigned char, sizeof(Optimizer)> recorded_for_{};  // its bytes, without the rate
  Memory<ImageSource<T>> source_;                                // what recorded steps gather from
};

}  // namespace tenon
