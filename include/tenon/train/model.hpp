// Model: the memory of one network on one device, and the forward and backward passes over it.
//
// All parameters lie in one flat buffer, gradients in a second with the same offsets, values in one arena laid out by
// the plan. A step is a loop over a table; nothing is allocated after the model is made. A model knows no optimizer:
// between backward() and an update lies the place for clipping, accumulation and exchange of gradients.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tenon/core/cuda.hpp"
#include "tenon/core/thread_pool.hpp"
#include "tenon/cpu/reduce.hpp"
#include "tenon/plan/describe.hpp"
#include "tenon/train/initialize.hpp"

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
/// On Cuda, how products are computed besides; what is stored is float. With Fp32 the device says it: Cuda{CudaMath::tf32}.
struct Tf32 : Fp32 {
  static constexpr const char* name = "tf32";
  static constexpr CudaMath math = CudaMath::tf32;
};
struct Bf16 : Fp32 {
  static constexpr const char* name = "bf16";
  static constexpr CudaMath math = CudaMath::bf16;
};

/// What a model runs on unless told otherwise: all the threads that this process may use.
template <class Device>
Device default_device() {
  if constexpr (std::is_same_v<Device, Cpu>)
    return cpu_with_threads();
  else
    return Device{};
}

template <class Net, class Device = Cpu, class Precision = Fp32, plan::Mode M = plan::Mode::train>
class Model {
 public:
  using T = typename Precision::value;
  template <class V>
  using Memory = typename Device::template Buffer<V>;
  using Network = Net;
  using device_type = Device;
  using Train = plan::Plan<Net, M>;
  using Eval = plan::Plan<Net, plan::Mode::eval>;
  static constexpr int inputs = static_cast<int>(Net::input.count());
  static constexpr int outputs = static_cast<int>(Net::output.count());

  /// Room for batches of up to `capacity` samples; parameters start from `seed`.
  explicit Model(Seed seed = {}, int capacity = 128, Device device = default_device<Device>())
      : device_(std::move(device)), seed_(seed), capacity_(at_least_one(capacity)), tensors_(plan::tensors<Net>()) {
    constexpr auto &train = Train::memory, &eval = Eval::memory;
    if constexpr (requires { Precision::math; }) device_.math = Precision::math;
    parameters_ = allocate<T>(device_, train.parameters);
    gradients_ = allocate<T>(device_, train.parameters);
    states_ = allocate<T>(device_, train.states);
    counters_.assign(train.counters, 0);
    saved_states_ = allocate<T>(device_, train.states);
    saved_counters_ = counters_;
    arena_ = allocate<T>(device_, static_cast<std::size_t>(std::max(train.arena, eval.arena)) * capacity_);
    fixed_ = allocate<T>(device_, train.fixed);
    packed_ = allocate<T>(device_, std::max(train.packed, eval.packed));
    work_ = allocate<T>(device_, std::max(train.workspace, eval.workspace));
    device_.reserve_scratch(static_cast<std::size_t>(sizeof(T) == 4
                                                         ? std::max(train.scratch_float, eval.scratch_float)
                                                         : std::max(train.scratch_double, eval.scratch_double)));
    reset();

    context_.dev = &device_;
    context_.capacity = capacity_;
    context_.arena = arena_.data();
    context_.parameters = parameters_.data();
    context_.gradients = gradients_.data();
    context_.states = states_.data();
    context_.fixed = fixed_.data();
    context_.packed = packed_.data();
    context_.work = work_.span();
    context_.seed = seed_.value;
    if constexpr (!Device::host_memory)
      measure_scratch(device_, [this] {
        predict(capacity_);
        forward(capacity_);
        backward();
        count_steps(-1);
      });
  }
  Model(const Model&) = delete;  // views and rows point into it
  Model& operator=(const Model&) = delete;

  Device& device() { return device_; }
  const Device& device() const { return device_; }
  Seed seed() const { return seed_; }
  int capacity() const { return capacity_; }

  /// Every parameter and state by name, with its offset.
  const std::vector<plan::Tensor>& tensors() const { return tensors_; }
  // Memory of the device: download(device(), ...) where the host may not look into it.
  Span<T> parameters() { return parameters_.span(); }
  Span<const T> parameters() const { return parameters_.span(); }
  Span<T> gradients() { return gradients_.span(); }
  Span<T> states() { return states_.span(); }
  Span<const T> states() const { return states_.span(); }
  std::vector<long long>& counters() { return counters_; }
  const std::vector<long long>& counters() const { return counters_; }

  /// Back to what the seed gives.
  void reset() {
    Buffer<T> parameters(parameters_.size()), states(states_.size());
    for (std::size_t i = 0, slot = 0; i < tensors_.size(); ++i) {
      const plan::Tensor& t = tensors_[i];
      slot = i > 0 && tensors_[i - 1].node == t.node ? slot + 1 : 0;
      if (t.kind == plan::Tensor::Kind::counter)
        counters_[t.offset] = 0;
      else
        initialize((t.kind == plan::Tensor::Kind::parameter ? parameters : states).data() + t.offset, t.dims.count(),
                   t.initial, seed_, t.node, static_cast<int>(slot));
    }
    upload(device_, parameters.data(), parameters_.data(), parameters.size());
    upload(device_, states.data(), states_.data(), states.size());
  }

  /// Where a batch is to be written: rows of `inputs` values, in PyTorch's order.
  View<T, Batch, inputs> input(int batch) {
    return View<T, Batch, inputs>(context_.of(Train::memory.input), checked(batch));
  }

  /// What random numbers are keyed by: the step, and the place in the epoch of the batch's first sample.
  void set_position(std::uint32_t step, std::uint64_t first_sample) {
    context_.step = step;
    context_.first_sample = first_sample;
  }

  /// The outputs for the batch in input(), as at inference: rows of `outputs` values, in PyTorch's order.
  View<const T, Batch, outputs> predict(int batch) {
    context_.batch = checked(batch);
    run<Eval>([&](const auto& op, const plan::Row& row) {
      if (op.prepare) op.prepare(context_, row);
      op.forward(context_, row);
      return true;
    });
    return output<Eval>();
  }

  /// The outputs for the batch in input(), in training mode; backward() may follow.
  View<const T, Batch, outputs> forward(int batch) {
    context_.batch = checked(batch);
    run<Train>([&](const auto& op, const plan::Row& row) {
      if (op.prepare) op.prepare(context_, row);
      op.forward(context_, row);
      return true;
    });
    count_steps(1);
    return output<Train>();
  }

  /// Raises the counters of steps (BatchNorm's num_batches_tracked), as forward() does by one.
  void count_steps(long long steps) {
    for (long long& c : counters_) c += steps;
  }

  /// Where the gradient of the loss by the outputs is to be written after forward().
  View<T, Batch, outputs> output_gradient() {
    return View<T, Batch, outputs>(context_.of(Train::memory.output_gradient), context_.batch);
  }

  /// From output_gradient() to gradients(), complete when it returns; `accumulate` adds to what is there.
  void backward(bool accumulate = false) {
    context_.add_gradients = accumulate;
    for (int i = Train::memory.rows - 1; i >= 0; --i)
      if (Train::memory.row[i].backward) ops<Train>.op[i].backward(context_, Train::memory.row[i]);
  }

  /// Forward, loss and backward for the batch in input(); the loss's sums.
  template <class Loss>
  auto backward(const Loss& loss, const typename Loss::Target* targets, int batch, bool accumulate = false) {
    const auto y = forward(batch);
    const auto sums = loss(device_, y, targets, output_gradient());
    backward(accumulate);
    return sums;
  }

  /// The gradient by the batch in input(); for models made with Mode::train_with_input_gradient.
  View<const T, Batch, inputs> input_gradient() const requires(M == plan::Mode::train_with_input_gradient) {
    return View<const T, Batch, inputs>(context_.of(Train::memory.input_gradient), context_.batch);
  }

  /// Runs the forward pass for the batch in input() step by step, and names the first layer with a NaN or infinity in
  /// its output; empty if there is none. The states are left as they were.
  std::string first_non_finite(int batch) {
    context_.batch = checked(batch);
    save_states();
    std::string name;
    if (!finite(input(batch).data, input(batch).size())) name = "the input";
    run<Train>([&](const auto& op, const plan::Row& row) {
      if (!name.empty()) return false;
      if (op.prepare) op.prepare(context_, row);
      op.forward(context_, row);
      const auto& step = Train::steps.step[&row - Train::memory.row];
      const std::size_t n = static_cast<std::size_t>(Net::graph.nodes[step.last].spec.out.count()) * batch;
      if (!finite(context_.of(row.y), n)) name = plan::name_of(Net::graph.nodes[step.node]);
      return true;
    });
    restore_states();
    return name;
  }

  /// The last layer, seen from the loss, whose gradients are finite no more; empty if all are.
  std::string first_non_finite_gradient() {
    for (std::size_t i = tensors_.size(); i-- > 0;)
      if (!finite_in(gradients_, tensors_[i])) return "the gradient of " + tensors_[i].name;
    return {};
  }
  /// The first tensor whose values are finite no more; empty if all are.
  std::string first_non_finite_parameter() {
    for (const plan::Tensor& t : tensors_)
      if (!finite_in(parameters_, t)) return t.name;
    return {};
  }

  /// States are what a training step changes besides the parameters; a step that must not count is taken back by these.
  void save_states() {
    copy(device_, states_.data(), saved_states_.data(), states_.size());
    std::copy(counters_.begin(), counters_.end(), saved_counters_.begin());
  }
  /// The same inside of a recorded step.
  template <class Recorder>
  void save_states_in(Recorder& recorder) {
    if (states_.size() > 0) keep_states(device_, recorder, states_.data(), saved_states_.data(), states_.size());
  }
  /// What was saved last, for those who take back more than one step.
  Span<T> saved_states() { return saved_states_.span(); }
  std::vector<long long>& saved_counters() { return saved_counters_; }
  /// All but the counters, which a recorded step does not raise.
  void restore_recorded_states() { copy(device_, saved_states_.data(), states_.data(), states_.size()); }
  void restore_states() {
    restore_recorded_states();
    std::copy(saved_counters_.begin(), saved_counters_.end(), counters_.begin());
  }

 private:
  template <class P>
  static constexpr auto ops = plan::Program<P, Device, T>::template table<Net>();

  template <class P, class F>
  void run(F f) {
    for (int i = 0; i < P::memory.rows; ++i)
      if (!f(ops<P>.op[i], P::memory.row[i])) return;
  }

  template <class P>
  View<const T, Batch, outputs> output() const {
    return View<const T, Batch, outputs>(context_.of(P::memory.output), context_.batch);
  }

  bool finite(const T* p, std::size_t n) { return all_finite(device_, Span<const T>{p, n}); }

  bool finite_in(const Memory<T>& flat, const plan::Tensor& t) {
    return t.kind != plan::Tensor::Kind::parameter ||
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

  Device device_;
  Seed seed_;
  int capacity_;
  std::vector<plan::Tensor> tensors_;
  Memory<T> parameters_, gradients_, states_, saved_states_;
  std::vector<long long> counters_, saved_counters_;
  Memory<T> arena_, fixed_, packed_, work_;
  plan::Context<Device, T> context_;
};

}  // namespace tenon
