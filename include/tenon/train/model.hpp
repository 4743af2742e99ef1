// Model: the memory of one network on one device, and the forward and backward passes over it.
//
// All parameters are in one flat buffer, all gradients in a second one with the same offsets, and all values in one arena
// that the plan lays out. A pass is a loop over a table. The model allocates nothing after its construction, with one
// exception: the first predict() between forward() and backward() allocates extra memory, so that it does not change the
// values of forward(). A model has no optimizer. A Trainer, or your own loop, updates parameters().
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tenon/core/cuda.hpp"
#include "tenon/core/thread_pool.hpp"
#include "tenon/cpu/reduce.hpp"
#include "tenon/losses/loss.hpp"
#include "tenon/plan/describe.hpp"
#include "tenon/predict.hpp"
#include "tenon/train/initialize.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// Precision policies: the type of values, parameters and gradients.
struct Fp32 {
  using value = float;
  static constexpr const char* name = "fp32";
};
struct Fp64 {
  using value = double;
  static constexpr const char* name = "fp64";
};
/// How products are computed on Cuda. Stored values are float. With Fp32 the device decides: Cuda{CudaMath::tf32}.
struct Tf32 : Fp32 {
  static constexpr const char* name = "tf32";
  static constexpr CudaMath math = CudaMath::tf32;
};
struct Bf16 : Fp32 {
  static constexpr const char* name = "bf16";
  static constexpr CudaMath math = CudaMath::bf16;
};

/// The default device of a model. A Cpu uses all threads that this process may use.
template <class Device>
Device default_device() {
  if constexpr (std::is_same_v<Device, Cpu>)
    return Cpu(0);
  else
    return Device{};
}

namespace plan {

/// True if Precision selects how products are computed and the device supports the selection.
template <class Device, class Precision>
inline constexpr bool has_math = requires(Device& d) {
  d.math = Precision::math;
};

/// True, or one compile error if the precision selects a kind of product that the device does not have.
template <class Device, class Precision>
constexpr bool check_precision() {
  if constexpr (requires { Precision::math; } && !has_math<Device, Precision>)
    diagnostics::complain<diagnostics::model<Device, Precision>,
                          diagnostics::Misfit{Need::the_device_Cuda_for_Tf32_and_Bf16,
                                              Remedy::Fp32_or_Fp64_or_the_device_Cuda}>();
  return true;
}

}  // namespace plan

/// A view of a model's memory that a later call of the model may overwrite. In builds with assertions, reading the view
/// after that throws Error.
template <class T, int... D>
class ModelView : public View<T, D...> {
 public:
  ModelView(View<T, D...> view, const std::uint64_t* generation)
      : View<T, D...>(view), generation_(generation), made_(*generation) {}

  T& operator[](std::size_t i) const { return live().data[i]; }
  T* row(int b) const { return live().View<T, D...>::row(b); }

 private:
  const ModelView& live() const {
#ifndef NDEBUG
    if (*generation_ != made_)
      throw Error(
          "Model",
          "expected a view of the last pass, got one whose memory a later call has overwritten: copy what is needed");
#endif
    return *this;
  }

  const std::uint64_t* generation_;
  std::uint64_t made_;
};

namespace detail {

/// What a model knows of a training (train/guard.hpp). A training may have an update that is still to be checked.
class ModelObserver {
 public:
  virtual void verify() = 0;            // checks the update; throws NonFinite
  virtual void settle() noexcept = 0;   // checks the update before the model is moved; an unusable one is rolled back
  virtual void discard() noexcept = 0;  // the weights were replaced: there is nothing to check
  virtual void detach() noexcept = 0;   // the model is destroyed, moved or assigned to

 protected:
  ~ModelObserver() = default;
};

/// The trainings of a model. A move of the model settles their updates and detaches them.
class ModelObservers {
 public:
  ModelObservers() = default;
  ModelObservers(ModelObservers&& o) noexcept { o.settle_and_detach(); }
  ModelObservers& operator=(ModelObservers&& o) noexcept {
    if (this == &o) return *this;
    o.settle_and_detach();
    if (pending_) pending_->discard();
    detach();
    return *this;
  }
  ~ModelObservers() { detach(); }

  void add(ModelObserver* o) { all_.push_back(o); }
  void remove(ModelObserver* o) {
    std::erase(all_, o);
    if (pending_ == o) pending_ = nullptr;
  }
  /// The training whose last update is still to be checked, or null.
  ModelObserver* pending() const { return pending_; }
  void set_pending(ModelObserver* o) { pending_ = o; }

 private:
  void settle_and_detach() noexcept {
    if (pending_) pending_->settle();
    detach();
  }
  void detach() noexcept {
    for (ModelObserver* const o : all_) o->detach();
    all_.clear();
    pending_ = nullptr;
  }

  std::vector<ModelObserver*> all_;
  ModelObserver* pending_ = nullptr;
};

}  // namespace detail

template <class Net, kernels::Device Device = Cpu, class Precision = Fp32, plan::Mode M = plan::Mode::train>
class Model {
  static_assert(plan::check_precision<Device, Precision>());

 public:
  using T = typename Precision::value;
  template <class V>
  using Memory = typename Device::template Buffer<V>;
  using Network = Net;
  using device_type = Device;
  using Train = plan::Plan<Net, Device, M>;
  using Eval = plan::Plan<Net, Device, plan::Mode::eval>;
  static constexpr int inputs = static_cast<int>(Net::input.count());
  static constexpr int outputs = static_cast<int>(Net::output.count());
  using OutputView = ModelView<const T, Batch, outputs>;

  /// Allows batches of up to `capacity` samples. The initial parameters depend on `seed`. Throws Error if capacity < 1.
  explicit Model(Seed seed = {}, int capacity = 128, Device device = default_device<Device>())
      : device_(std::move(device)), seed_(seed), capacity_(at_least_one(capacity)), tensors_(plan::tensors<Net>()) {
    constexpr auto &train = Train::memory, &eval = Eval::memory;
    if constexpr (plan::has_math<Device, Precision>) device_.math = Precision::math;
    parameters_ = allocate<T>(device_, train.parameters);
    gradients_ = allocate<T>(device_, train.parameters);
    states_ = allocate<T>(device_, train.states);
    counters_.assign(train.counters, 0);
    saved_states_ = allocate<T>(device_, train.states);
    saved_counters_ = counters_;
    arena_ = allocate<T>(device_, arena_values(std::max(train.arena, eval.arena)));
    fixed_ = allocate<T>(device_, train.fixed);
    packed_ = allocate<T>(device_, std::max(train.packed, eval.packed));
    work_ = allocate<T>(device_, std::max(train.workspace, eval.workspace));
    step_memory_ = allocate<StepState>(device_, 1);
    sums_memory_ = allocate<LossSums>(device_, 1);
    reserve_scratch(device_,
                    static_cast<std::size_t>(sizeof(T) == 4 ? std::max(train.scratch_float, eval.scratch_float)
                                                            : std::max(train.scratch_double, eval.scratch_double)));
    host_outputs_ = kernels::HostMirror<Device, T>(static_cast<std::size_t>(capacity_) * outputs);
    reset();
    step_state_.seed = seed_.value;

    context_.capacity = capacity_;
    context_.parameters = parameters_.data();
    context_.gradients = gradients_.data();
    context_.states = states_.data();
    context_.fixed = fixed_.data();
    context_.packed = packed_.data();
    context_.work = work_.span();
    context_.step = step_memory_.data();
    measure_scratch(device_, [this] {
      launch_predict(capacity_);
      launch_forward(capacity_);
      launch_backward();
    });
  }
  /// After a move, views of both models must not be used, and their trainers throw Error. A move verifies the last update:
  /// if it has made the outputs non-finite, it is rolled back.
  Model(Model&&) noexcept = default;
  Model& operator=(Model&&) noexcept = default;
  Model(const Model&) = delete;  // copy_weights() copies parameters, states and counters
  Model& operator=(const Model&) = delete;
  ~Model() = default;

  Device& device() { return device_; }
  const Device& device() const { return device_; }
  Seed seed() const { return seed_; }
  int capacity() const { return capacity_; }
  /// The number of samples in so many values of a batch. Throws Error if a batch cannot have it.
  int rows_of(std::size_t values) const {
    if (values == 0 || values % inputs != 0)
      throw Error("Model",
                  "expected rows of " + std::to_string(inputs) + " values, got " + std::to_string(values) + " values");
    return checked(static_cast<int>(std::min<std::size_t>(values / inputs, std::size_t{1} << 30)));
  }

  /// Every parameter and state, with its name and offset.
  const std::vector<plan::NamedTensor>& tensors() const { return tensors_; }
  // Memory of the device. If the host cannot read it, use download(device(), ...).
  Span<T> parameters() { return parameters_.span(); }
  Span<const T> parameters() const { return parameters_.span(); }
  Span<T> gradients() { return gradients_.span(); }
  Span<T> states() { return states_.span(); }
  Span<const T> states() const { return states_.span(); }
  std::vector<long long>& counters() { return counters_; }
  const std::vector<long long>& counters() const { return counters_; }

  /// Sets parameters and states to their initial values, which depend on the seed, and counters to 0.
  void reset() {
    weights_were_replaced();
    Buffer<T> parameters(parameters_.size()), states(states_.size());
    for (std::size_t i = 0, slot = 0; i < tensors_.size(); ++i) {
      const plan::NamedTensor& t = tensors_[i];
      slot = i > 0 && tensors_[i - 1].node == t.node ? slot + 1 : 0;
      if (t.kind == plan::NamedTensor::Kind::counter)
        counters_[t.offset] = 0;
      else
        detail::initialize((t.kind == plan::NamedTensor::Kind::parameter ? parameters : states).data() + t.offset,
                           t.dims.count(), t.initial, seed_, t.node, static_cast<int>(slot));
    }
    upload(device_, parameters.data(), parameters_.data(), parameters.size());
    upload(device_, states.data(), states_.data(), states.size());
  }

  // --- weights and states ----------------------------------------------------------------------------------------------

  /// Copies parameters, states and counters of another model of the same network on the same device.
  void copy_weights(const Model& from) {
    weights_were_replaced();
    copy(device_, from.parameters_.data(), parameters_.data(), parameters_.size());
    copy(device_, from.states_.data(), states_.data(), states_.size());
    counters_ = from.counters_;
  }

  /// A copy of parameters, states and counters, in memory of the device.
  struct Snapshot {
    Memory<T> parameters, states;
    std::vector<long long> counters;
  };
  [[nodiscard]] Snapshot snapshot() const {
    Snapshot s{allocate<T>(device_, parameters_.size()), allocate<T>(device_, states_.size()), counters_};
    copy(device_, parameters_.data(), s.parameters.data(), parameters_.size());
    copy(device_, states_.data(), s.states.data(), states_.size());
    return s;
  }
  void restore(const Snapshot& s) {
    if (s.parameters.size() != parameters_.size() || s.states.size() != states_.size())
      throw Error("Model", "expected a snapshot of this network, got " +
                               std::string(s.parameters.size() == 0 ? "an empty one" : "another one"));
    weights_were_replaced();
    copy(device_, s.parameters.data(), parameters_.data(), parameters_.size());
    copy(device_, s.states.data(), states_.data(), states_.size());
    counters_ = s.counters;
  }

  /// A copy of the weights for predictors, without a file. First checks the last update (verify_last_update()).
  [[nodiscard]] typename Weights<Net, Device>::Shared weights() const requires std::is_same_v<T, float> {
    verify_last_update();
    return Weights<Net, Device>::copy_of(device_, parameters_.span(), states_.span());
  }

  // --- inference -------------------------------------------------------------------------------------------------------

  /// The memory to which a batch is written: rows of `inputs` values in PyTorch's order. predict(), forward() and
  /// backward() do not change its content. Between forward() and backward() it is not the memory that forward() has read.
  /// If an update of a training is still to be checked with the batch that is there, checks it first.
  View<T, Batch, inputs> input(int batch) {
    checked(batch);
    if (!awaits_backward_) verify_last_update();
    return next_input(batch);
  }

  /// The outputs for the batch in input() in inference mode: rows of `outputs` values in PyTorch's order. A call between
  /// forward() and backward() does not change the values that backward() needs.
  OutputView predict(int batch) {
    checked(batch);
    if (!awaits_backward_) {
      ++*generation_;
      publish_step_state();
      launch_predict(batch);
      return {output<Eval>(arena_.data()), generation_.get()};
    }
    ++*second_generation_;
    take_second_arena();
    if (!input_is_second_) {
      const auto to = next_input(batch);
      copy(device_, static_cast<const T*>(first_input(batch).data), to.data, to.size());
    }
    const int batch_of_forward = context_.batch;
    run_predict(second_arena_.data(), batch, InputOrder::planar);
    const auto y = output<Eval>(second_arena_.data());
    context_.batch = batch_of_forward;
    return {y, second_generation_.get()};
  }
  /// The same for rows of `inputs` values in memory of the host, at most capacity() rows. Returns rows of `outputs` values
  /// in memory of the host, valid until the next call.
  std::span<const T> predict(std::span<const T> x) {
    const int batch = rows_of(x.size());
    upload(device_, x.data(), input(batch).data, x.size());
    const auto y = predict(batch);
    return {host_outputs_(device_, y.data, y.size()), y.size()};
  }

  // --- training --------------------------------------------------------------------------------------------------------

  /// The state that the next forward() uses. Each forward() advances first_sample by its batch, so that two batches use
  /// different random numbers.
  const StepState& step_state() const { return step_state_; }
  void set_step_state(const StepState& s) {
    step_state_ = s;
    step_is_published_ = false;
  }

  /// The outputs for the batch in input() in training mode. backward() may follow.
  OutputView forward(int batch) {
    checked(batch);
    ++*generation_;
    if (input_is_second_) {  // written since the last forward(), and backward() was not called
      copy(device_, static_cast<const T*>(second_arena_.data() + Eval::memory.input * capacity_),
           first_input(batch).data, static_cast<std::size_t>(batch) * inputs);
      input_is_second_ = false;
      input_order_ = InputOrder::planar;
    }
    if (!states_are_saved_) save_states();
    publish_step_state();
    launch_forward(batch);
    count_steps(1);
    step_state_.first_sample += static_cast<std::uint64_t>(batch);
    step_is_published_ = false;
    awaits_backward_ = true;
    return {output<Train>(arena_.data()), generation_.get()};
  }
  /// The same for rows of `inputs` values in memory of the host.
  OutputView forward(std::span<const T> x) {
    const int batch = rows_of(x.size());
    discard_pass();  // an earlier forward() without backward()
    upload(device_, x.data(), next_input(batch).data, x.size());
    return forward(batch);
  }

  /// The memory to which the gradient of the loss with respect to the outputs is written after forward(). It is undefined
  /// after backward().
  View<T, Batch, outputs> output_gradient() {
    return View<T, Batch, outputs>(train_memory(Train::memory.output_gradient), context_.batch);
  }

  /// Computes gradients() from output_gradient(). They are complete when the call returns. With `accumulate` they are added
  /// to the existing gradients. Throws Error without a forward() before it.
  void backward(bool accumulate = false) {
    if (!awaits_backward_)
      throw Error("Model", "expected backward() after forward(), got backward() without a forward() before it");
    awaits_backward_ = false;
    input_is_second_ = false;
    ++*generation_;
    launch_backward(accumulate);
  }

  /// Runs forward, loss and backward for the batch in input(). `targets` is memory of the device. Returns the loss's sums.
  template <class Loss>
  LossSums backward(const Loss& loss, const typename Loss::Target* targets, int batch, bool accumulate = false) {
    const auto y = forward(batch);
    evaluate_loss(loss, y, targets, output_gradient(), Reduction::mean);
    backward(accumulate);
    return read_sums();
  }

  /// Computes the loss of the outputs y and, unless `gradient` is null, its gradient. read_sums() then returns the sums.
  template <class Loss>
  void evaluate_loss(const Loss& loss, View<const T, Batch, outputs> y, const typename Loss::Target* targets,
                     View<T, Batch, outputs> gradient, Reduction reduction) {
    loss(device_, LossContext<T, typename Loss::Target, outputs, Device>{y, targets, reduction, gradient,
                                                                         sums_memory_.data(), step_memory_.data()});
  }
  /// The sums of the last loss. Waits until they are computed.
  LossSums read_sums() {
    LossSums sums;
    download(device_, static_cast<const LossSums*>(sums_memory_.data()), &sums, 1);
    return sums;
  }

  /// The gradient with respect to the batch in input(), for models with Mode::train_with_input_gradient.
  View<const T, Batch, inputs> input_gradient() const requires(M == plan::Mode::train_with_input_gradient) {
    return View<const T, Batch, inputs>(arena_.data() + Train::memory.input_gradient * capacity_, context_.batch);
  }

  // --- states and checks -----------------------------------------------------------------------------------------------

  /// The first layer with a NaN or infinity in its training outputs for the last batch that forward() has read, or "the
  /// input". Empty if there is none. Runs forward again, layer by layer, with the random numbers of the last forward().
  /// Does not change parameters and states. If all outputs are finite, backward() may still follow a forward().
  std::string first_non_finite(int batch) {
    checked(batch);
    Memory<T> states = allocate<T>(device_, states_.size());
    copy(device_, static_cast<const T*>(states_.data()), states.data(), states_.size());
    std::string name;
    if (!finite(first_input(batch).data, first_input(batch).size())) name = "the input";
    ready(arena_.data(), batch);
    for (int i = first_row(input_order_); i < Train::memory.rows && name.empty(); ++i) {
      const plan::StepOffsets row = row_of<Train>(i, input_order_);
      if (ops<Train>.op[i].prepare) ops<Train>.op[i].prepare(context_, row);
      ops<Train>.op[i].forward(context_, row);
      const auto& step = Train::steps.step[i];
      const std::size_t n = static_cast<std::size_t>(Net::graph.nodes[step.last].spec.out.count()) * batch;
      if (!finite(context_.of(row.y), n)) name = plan::name_of(Net::graph.frames, Net::graph.nodes[step.node]);
    }
    copy(device_, static_cast<const T*>(states.data()), states_.data(), states_.size());
    if (!awaits_backward_ || !name.empty()) ++*generation_;
    if (!name.empty() && name != "the input") discard_pass();  // of the input no layer was computed
    return name;
  }

  /// The last parameter of the network whose gradient is not finite; empty if all gradients are finite.
  std::string first_non_finite_gradient() {
    for (std::size_t i = tensors_.size(); i-- > 0;)
      if (!finite_in(gradients_, tensors_[i])) return "the gradient of " + tensors_[i].name;
    return {};
  }
  /// The first parameter whose values are not finite; empty if all are finite.
  std::string first_non_finite_parameter() {
    for (const plan::NamedTensor& t : tensors_)
      if (!finite_in(parameters_, t)) return t.name;
    return {};
  }

  /// Saves the states, which a training step changes in addition to the parameters. The first forward() after an update
  /// calls it.
  void save_states() {
    copy(device_, static_cast<const T*>(states_.data()), saved_states_.data(), states_.size());
    saved_counters_ = counters_;
    states_are_saved_ = true;
  }
  /// If a forward() has changed the states since the last update, restores them.
  void restore_states() {
    if (states_are_saved_) {
      copy(device_, static_cast<const T*>(saved_states_.data()), states_.data(), states_.size());
      counters_ = saved_counters_;
    }
    states_are_saved_ = false;
    discard_pass();
  }
  bool states_are_saved() const { return states_are_saved_; }
  /// Discards a forward() that backward() has not followed.
  void discard_pass() { awaits_backward_ = input_is_second_ = false; }
  /// While an object of this class exists, states() and counters() are those from before the running step, if there is one.
  class BeforeStep {
   public:
    explicit BeforeStep(const Model& model) : model_(const_cast<Model&>(model)) { swap(); }
    ~BeforeStep() { swap(); }
    BeforeStep(const BeforeStep&) = delete;
    BeforeStep& operator=(const BeforeStep&) = delete;

   private:
    void swap() {
      if (!model_.states_are_saved_) return;
      std::swap(model_.states_, model_.saved_states_);
      std::swap(model_.counters_, model_.saved_counters_);
    }
    Model& model_;
  };
  /// Call it after parameters were updated. The next forward() belongs to the next step, which has the state `next`. A
  /// forward() with the old parameters is discarded.
  void finish_update(const StepState& next) {
    discard_pass();
    states_are_saved_ = false;
    set_step_state(next);
  }
  Span<T> saved_states() { return saved_states_.span(); }
  const std::vector<long long>& saved_counters() const { return saved_counters_; }
  /// Declares that saved_states() contains the states that restore_states() shall restore, with these counters.
  void set_saved(const std::vector<long long>& counters) {
    saved_counters_ = counters;
    states_are_saved_ = true;
  }
  /// Adds `steps` to the counters of steps (BatchNorm's num_batches_tracked). forward() adds one.
  void count_steps(long long steps) {
    for (long long& c : counters_) c += steps;
  }

  /// Throws NonFinite if a training finds that its last update made the outputs non-finite. The weights are then those
  /// before the update. Saving calls this function.
  void verify_last_update() const {
    if (observers_.pending()) observers_.pending()->verify();
  }
  /// Call it when parameters and states are replaced, for instance by those of a file.
  void weights_were_replaced() {
    if (observers_.pending()) observers_.pending()->discard();
    states_are_saved_ = false;
    discard_pass();
  }
  detail::ModelObservers& observers() { return observers_; }

  // --- for train/execution: only kernels, which can be recorded, without the bookkeeping above --------------------------

  void launch_predict(int batch) { run_predict(arena_.data(), batch, input_order_); }
  void launch_forward(int batch) {
    ready(arena_.data(), batch);
    run_forward<Train>(input_order_);
  }
  void launch_backward(bool accumulate = false) {
    ready(arena_.data(), context_.batch);
    context_.add_gradients = accumulate;
    for (int i = Train::memory.rows - 1; i >= 0; --i)
      if (Train::memory.row[i].backward) ops<Train>.op[i].backward(context_, row_of<Train>(i, input_order_));
  }
  /// Whether a data set may write first_input() in channels-last order. It then calls set_input_order().
  static constexpr bool takes_channels_last = Train::memory.permutes_input && Eval::memory.permutes_input;
  /// A batch in this order is about to be written to first_input(). Discards a forward() without backward().
  void begin_loading(InputOrder order) {
    discard_pass();
    input_order_ = order;
  }
  /// What the model knows of its last pass. A recording restores it, because it runs nothing.
  struct Pass {
    InputOrder input_order;
    bool awaits_backward, input_is_second;
    int batch;
  };
  Pass pass() const { return {input_order_, awaits_backward_, input_is_second_, context_.batch}; }
  void set_pass(const Pass& p) {
    input_order_ = p.input_order;
    awaits_backward_ = p.awaits_backward;
    input_is_second_ = p.input_is_second;
    context_.batch = p.batch;
  }
  View<T, Batch, inputs> first_input(int batch) {
    return View<T, Batch, inputs>(train_memory(Train::memory.input), batch);
  }
  View<const T, Batch, outputs> training_output() const { return output<Train>(arena_.data()); }
  View<const T, Batch, outputs> inference_output() const { return output<Eval>(arena_.data()); }
  /// Memory of the device: the step state that layers, losses and optimizers read, and the sums of the last loss.
  StepState* step_address() { return step_memory_.data(); }
  LossSums* sums_address() { return sums_memory_.data(); }
  /// Uploads the host's step state to memory of the device, unless it is already there.
  void publish_step_state() {
    if (step_is_published_) return;
    upload(device_, static_cast<const StepState*>(&step_state_), step_memory_.data(), 1);
    step_is_published_ = true;
  }
  bool awaits_backward() const { return awaits_backward_; }
  int batch() const { return context_.batch; }  // samples of the last pass
  /// The context that layers get: the memory and the step state. For tests of layers, which run one layer alone.
  plan::ModelContext<Device, T>& layer_context() {
    publish_step_state();
    ready(arena_.data(), capacity_);
    return context_;
  }
  /// Makes views of earlier passes invalid.
  void invalidate_views() { ++*generation_; }

 private:
  template <class P>
  static constexpr auto ops = plan::Program<P, Device, T>::template table<Net>();

  // The input must have the same offset in both plans, because input() is called before it is known which plan runs.
  static_assert(Train::memory.input == Eval::memory.input);

  View<T, Batch, inputs> next_input(int batch) {
    if (awaits_backward_) {
      take_second_arena();
      input_is_second_ = true;
      return View<T, Batch, inputs>(second_arena_.data() + Eval::memory.input * capacity_, batch);
    }
    input_order_ = InputOrder::planar;
    return first_input(batch);
  }
  void ready(T* arena, int batch) {
    context_.dev = &device_;
    context_.arena = arena;
    context_.batch = batch;
  }
  void run_predict(T* arena, int batch, InputOrder order) {
    ready(arena, batch);
    run_forward<Eval>(order);
  }
  template <class P>
  void run_forward(InputOrder order) {
    for (int i = first_row(order); i < P::memory.rows; ++i) {
      decltype(auto) row = row_of<P>(i, order);
      if (ops<P>.op[i].prepare) ops<P>.op[i].prepare(context_, row);
      ops<P>.op[i].forward(context_, row);
    }
  }
  /// The first step to run. An input in channels-last order needs no permutation, which is step 0.
  static constexpr int first_row(InputOrder order) {
    return takes_channels_last && order == InputOrder::channels_last ? 1 : 0;
  }
  /// The offsets of step i. If the input is in channels-last order, the steps that read the permuted input read it instead.
  template <class P>
  static decltype(auto) row_of(int i, [[maybe_unused]] InputOrder order) {
    if constexpr (takes_channels_last) {
      plan::StepOffsets row = P::memory.row[i];
      if (order == InputOrder::channels_last) {
        if (row.x_is_input) row.x = P::memory.input;
        if (row.x2_is_input) row.x2 = P::memory.input;
      }
      return row;
    } else {
      return static_cast<const plan::StepOffsets&>(P::memory.row[i]);
    }
  }
  T* train_memory(long long offset) { return offset < 0 ? nullptr : arena_.data() + offset * capacity_; }

  template <class P>
  View<const T, Batch, outputs> output(const T* arena) const {
    return View<const T, Batch, outputs>(arena + P::memory.output * capacity_, context_.batch);
  }

  std::size_t arena_values(long long per_sample) const {
    return static_cast<std::size_t>(per_sample) * static_cast<std::size_t>(capacity_);
  }
  void take_second_arena() {
    if (second_arena_.size() == 0) second_arena_ = allocate<T>(device_, arena_values(Eval::memory.arena));
  }

  bool finite(const T* p, std::size_t n) { return all_finite(device_, Span<const T>{p, n}); }
  bool finite_in(const Memory<T>& flat, const plan::NamedTensor& t) {
    return t.kind != plan::NamedTensor::Kind::parameter ||
           finite(flat.data() + t.offset, static_cast<std::size_t>(t.dims.count()));
  }

  static int at_least_one(int capacity) {
    if (capacity < 1) throw Error("Model", "expected a capacity of at least 1 sample, got " + std::to_string(capacity));
    return capacity;
  }
  int checked(int batch) const {
    if (batch < 1 || batch > capacity_)
      throw Error("Model",
                  "expected a batch of 1 to " + std::to_string(capacity_) + " samples, got " + std::to_string(batch));
    return batch;
  }

  detail::ModelObservers observers_;  // the first member: a move settles updates while the other model is complete
  Device device_;
  Seed seed_;
  int capacity_;
  std::vector<plan::NamedTensor> tensors_;
  Memory<T> parameters_, gradients_, states_, saved_states_;
  std::vector<long long> counters_, saved_counters_;
  Memory<T> arena_, second_arena_, fixed_, packed_, work_;
  Memory<StepState> step_memory_;
  Memory<LossSums> sums_memory_;
  StepState step_state_{};
  bool step_is_published_ = false;               // step_memory_ contains step_state_
  bool awaits_backward_ = false;                 // the arena holds the values that backward() needs
  bool input_is_second_ = false;                 // the last input() was in second_arena_
  InputOrder input_order_ = InputOrder::planar;  // of first_input()
  bool states_are_saved_ = false;                // since the last update
  std::unique_ptr<std::uint64_t> generation_ = std::make_unique<std::uint64_t>(0);
  std::unique_ptr<std::uint64_t> second_generation_ = std::make_unique<std::uint64_t>(0);  // of views of second_arena_
  kernels::HostMirror<Device, T> host_outputs_;
  plan::ModelContext<Device, T> context_;
};

}  // namespace tenon

TENON_IEEE_MATH_END
