// Inference without training: Weights, loaded once and shared, and Predictor, one for each thread that predicts.
//   auto weights = Weights<Net>::load("model.safetensors");      or from a span of bytes in memory
//   Predictor<Net> predict{weights};
//   auto logits = predict(x, 1);                                 allocates nothing
// Needs the standard library and Eigen: no threads, no zlib, no JSON, no training. Cpu(threads) needs tenon/tenon.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "tenon/core/device.hpp"
#include "tenon/layers.hpp"
#include "tenon/plan/plan.hpp"
#include "tenon/plan/tensors.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// The weights of a network, rearranged for inference. They are immutable, so any number of predictors may share them.
template <class Net, kernels::Device Device = Cpu>
class Weights {
 public:
  using Shared = std::shared_ptr<const Weights>;

  /// Loads a safetensors file made by tenon, or by PyTorch from the same layers in nn.Sequential. It must hold exactly the
  /// tensors of this network. A checkpoint may also hold those of its optimizer.
  [[nodiscard]] static Shared load(const std::string& path, Device dev = Device()) {
    return load(SafeTensors::open(path), std::move(dev));
  }
  [[nodiscard]] static Shared load(const SafeTensors& file, Device dev = Device()) {
    return Shared(new Weights(file, dev));
  }
  /// Loads the bytes of such a file and copies them. `where` is their name in errors.
  [[nodiscard]] static Shared load(std::span<const std::byte> bytes, std::string_view where = "memory",
                                   Device dev = Device()) {
    return load(SafeTensors::parse(bytes, where), std::move(dev));
  }

  /// Copies the parameters and states of a model, which are in memory of `dev`.
  [[nodiscard]] static Shared copy_of(const Device& dev, Span<const float> parameters, Span<const float> states) {
    Device device = dev;
    return Shared(new Weights(device, parameters, states));
  }

  const Metadata& metadata() const { return metadata_; }

 private:
  template <class N, kernels::Device D>
  friend class Predictor;
  using P = plan::Plan<Net, Device, plan::Mode::eval>;

  Weights(const SafeTensors& file, Device& dev)
      : metadata_(file.metadata()),
        memory_space_(memory_space(dev)),
        parameters_(allocate<float>(dev, P::memory.parameters)),
        states_(allocate<float>(dev, P::memory.states)),
        packed_(allocate<float>(dev, P::memory.packed)) {
    Buffer<float> parameters(P::memory.parameters), states(P::memory.states);
    std::vector<long long> counters(P::memory.counters);
    const std::string besides = "optimizer.";  // the other tensors of a checkpoint
    read_tensors<float>(file, plan::tensors<Net>(), {parameters.data(), states.data(), counters.data()},
                        std::span(&besides, 1));
    upload(dev, parameters.data(), parameters_.data(), parameters.size());
    upload(dev, states.data(), states_.data(), states.size());
    prepare(dev);
  }
  Weights(Device& dev, Span<const float> parameters, Span<const float> states)
      : memory_space_(memory_space(dev)),
        parameters_(allocate<float>(dev, P::memory.parameters)),
        states_(allocate<float>(dev, P::memory.states)),
        packed_(allocate<float>(dev, P::memory.packed)) {
    copy(dev, parameters.data, parameters_.data(), parameters_.size());
    copy(dev, states.data, states_.data(), states_.size());
    prepare(dev);
  }

  // Rearranges the weights into the layout that the kernels need.
  void prepare(Device& dev) {
    plan::ModelContext<Device, float> c;
    c.dev = &dev;
    c.parameters = parameters_.data();
    c.packed = packed_.data();
    for (int i = 0; i < P::memory.rows; ++i)
      if (ops.op[i].prepare) ops.op[i].prepare(c, P::memory.row[i]);
    wait(dev);  // predictors may use other queues
  }

  // The type is explicit, so that instantiating the class does not instantiate kernels.
  using Program = plan::Program<P, Device, float>;
  static constexpr typename Program::Table ops = Program::template table<Net>();

  Metadata metadata_;
  int memory_space_;
  typename Device::template Buffer<float> parameters_, states_, packed_;
};

/// Runs a network on batches of up to `capacity` samples. Use one object for each thread. It allocates nothing after its
/// construction. On Cuda it uses tenon's own kernels, without cuBLAS. There a batch of `capacity` samples or of one sample
/// is one launch of a CUDA graph. For other sizes each kernel is launched separately, with the same results.
template <class Net, kernels::Device Device = Cpu>
class Predictor {
  using W = Weights<Net, Device>;
  using P = plan::Plan<Net, Device, plan::Mode::eval>;

 public:
  static constexpr int inputs = static_cast<int>(Net::input.count());
  static constexpr int outputs = static_cast<int>(Net::output.count());

  /// The default device runs on the calling thread. Throws Error if the weights are in the memory of another device.
  explicit Predictor(typename W::Shared weights, int capacity = 1, Device device = Device())
      : weights_(std::move(weights)), device_(std::move(device)), capacity_(capacity) {
    if (!weights_) throw Error("Predictor", "expected weights, got a null pointer");
    if (capacity < 1)
      throw Error("Predictor", "expected a capacity of at least 1 sample, got " + std::to_string(capacity));
    if (const int got = weights_->memory_space_, expected = memory_space(device_); got != expected)
      throw Error("Predictor", "expected weights in memory of its device, number " + std::to_string(expected) +
                                   ", got weights on number " + std::to_string(got) +
                                   ": load them for the device that predicts (Weights::load(file, device))");
    arena_ = allocate<float>(device_, static_cast<std::size_t>(P::memory.arena) * static_cast<std::size_t>(capacity));
    work_ = allocate<float>(device_, P::memory.workspace);
    step_ = allocate<StepState>(device_, 1);
    reserve_scratch(device_, static_cast<std::size_t>(P::memory.scratch_float));
    outputs_ = kernels::HostMirror<Device, float>(static_cast<std::size_t>(capacity) * outputs);
    prepare_for_prediction(device_);
    measure_scratch(device_, [this] { run_steps(capacity_); });
    full_.record(device_, [this] { run_steps(capacity_); });
    one_.record(device_, [this] { run_steps(1); });
  }

  /// Takes `batch` rows of `inputs` values in PyTorch's order. Returns rows of `outputs` values, valid until the next call.
  std::span<const float> operator()(const float* x, int batch = 1) {
    upload(device_, x, input().data(), static_cast<std::size_t>(checked(batch)) * inputs);
    return run(batch);
  }

  /// The memory of the input. Writing the input there and calling run() avoids a copy.
  std::span<float> input() {
    return {arena_.data() + P::memory.input * capacity_, static_cast<std::size_t>(capacity_) * inputs};
  }
  std::span<const float> run(int batch = 1) {
    checked(batch);
    if (batch == capacity_)
      full_.run(device_, [this, batch] { run_steps(batch); });
    else if (batch == 1)
      one_.run(device_, [this, batch] { run_steps(batch); });
    else
      run_steps(batch);
    const float* const y = arena_.data() + P::memory.output * capacity_;
    const std::size_t n = static_cast<std::size_t>(batch) * outputs;
    return {outputs_(device_, y, n), n};
  }

  const W& weights() const { return *weights_; }

 private:
  using Memory = typename Device::template Buffer<float>;

  void run_steps(int batch) {
    plan::ModelContext<Device, float> c;
    c.dev = &device_;
    c.capacity = capacity_;
    c.batch = batch;
    c.arena = arena_.data();
    c.parameters = weights_->parameters_.data();
    c.states = const_cast<float*>(weights_->states_.data());  // inference only reads them
    c.packed = const_cast<float*>(weights_->packed_.data());
    c.work = work_.span();
    c.step = step_.data();
    for (int i = 0; i < P::memory.rows; ++i) W::ops.op[i].forward(c, P::memory.row[i]);
  }

  int checked(int batch) const {
    if (batch < 1 || batch > capacity_)
      throw Error("Predictor",
                  "expected a batch of 1 to " + std::to_string(capacity_) + " samples, got " + std::to_string(batch));
    return batch;
  }

  typename W::Shared weights_;
  Device device_;
  int capacity_;
  Memory arena_, work_;
  typename Device::template Buffer<StepState> step_;  // of zeros, for layers that read it
  kernels::HostMirror<Device, float> outputs_;
  kernels::Replay<Device> full_, one_;
};

}  // namespace tenon

TENON_IEEE_MATH_END
