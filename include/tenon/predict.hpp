// Inference alone: Weights, loaded once and shared, and Predictor, one for each thread that predicts.
//   auto weights = Weights<Net>::load("model.safetensors");      or from a span of bytes in memory
//   Predictor<Net> predict{weights};
//   auto logits = predict(x, 1);                                 allocates nothing
// Needs the standard library and Eigen: no threads, no zlib, no JSON, no training.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "tenon/core/device.hpp"
#include "tenon/layers.hpp"
#include "tenon/plan/plan.hpp"
#include "tenon/train/tensors.hpp"

namespace tenon {

/// The weights of a network, rearranged for inference; immutable, so any number of predictors may share them.
template <class Net, class Device = Cpu>
class Weights {
 public:
  using Shared = std::shared_ptr<const Weights>;

  /// From a safetensors file made by tenon, or by PyTorch from the same layers in nn.Sequential. It holds the tensors of
  /// this network and no others, but for a checkpoint's of the optimizer.
  static Shared load(const std::string& path, Device dev = Device()) {
    return load(SafeTensors::open(path), std::move(dev));
  }
  static Shared load(const SafeTensors& file, Device dev = Device()) { return Shared(new Weights(file, dev)); }
  /// From the bytes of such a file; they are copied. `where` names them in errors.
  static Shared load(std::span<const std::byte> bytes, std::string_view where = "memory", Device dev = Device()) {
    return load(SafeTensors::parse(bytes, where), std::move(dev));
  }

  const Metadata& metadata() const { return metadata_; }

 private:
  template <class N, class D>
  friend class Predictor;
  using P = plan::Plan<Net, plan::Mode::eval>;

  Weights(const SafeTensors& file, Device& dev)
      : metadata_(file.metadata()),
        parameters_(allocate<float>(dev, P::memory.parameters)),
        states_(allocate<float>(dev, P::memory.states)),
        packed_(allocate<float>(dev, P::memory.packed)) {
    Buffer<float> parameters(P::memory.parameters), states(P::memory.states);
    std::vector<long long> counters(P::memory.counters);
    const std::string besides = "optimizer.";  // what a checkpoint holds besides the model
    read_tensors<float>(file, plan::tensors<Net>(), {parameters.data(), states.data(), counters.data()},
                        std::span(&besides, 1));
    upload(dev, parameters.data(), parameters_.data(), parameters.size());
    upload(dev, states.data(), states_.data(), states.size());
    plan::Context<Device, float> c;
    c.dev = &dev;
    c.parameters = parameters_.data();
    c.packed = packed_.data();
    for (int i = 0; i < P::memory.rows; ++i)
      if (ops.op[i].prepare) ops.op[i].prepare(c, P::memory.row[i]);
    if constexpr (!Device::host_memory) wait(dev);  // predictors have streams of their own
  }

  // With its type written out, so that the class alone asks for no kernel.
  using Program = plan::Program<P, Device, float>;
  static constexpr typename Program::Table ops = Program::template table<Net>();

  Metadata metadata_;
  typename Device::template Buffer<float> parameters_, states_, packed_;
};

/// Runs a network on batches of up to `capacity` samples. One object a thread; after it is made, nothing is allocated. On
/// Cuda by tenon's own kernels, without cuBLAS, and batches of `capacity` samples and of one are a launch of a CUDA graph
/// each; of other sizes every kernel is launched, with the same results.
template <class Net, class Device = Cpu>
class Predictor {
  using W = Weights<Net, Device>;
  using P = plan::Plan<Net, plan::Mode::eval>;

 public:
  static constexpr int inputs = static_cast<int>(Net::input.count());
  static constexpr int outputs = static_cast<int>(Net::output.count());

  /// The default device runs on the calling thread.
  explicit Predictor(typename W::Shared weights, int capacity = 1, Device device = Device())
      : weights_(std::move(weights)), device_(std::move(device)), capacity_(capacity) {
    if (!weights_) throw Error("Predictor", "expected weights, got a null pointer");
    if (capacity < 1)
      throw Error("Predictor", "expected a capacity of at least 1 sample, got " + std::to_string(capacity));
    if constexpr (requires { device_.ordinal(); })
      if (const int gpu = weights_->parameters_.gpu(); gpu >= 0 && gpu != device_.ordinal())
        throw Error("Predictor", "expected weights on GPU " + std::to_string(device_.ordinal()) +
                                     ", got weights on GPU " + std::to_string(gpu) +
                                     ": load them for the device that predicts");
    arena_ = allocate<float>(device_, static_cast<std::size_t>(P::memory.arena) * static_cast<std::size_t>(capacity));
    work_ = allocate<float>(device_, P::memory.workspace);
    device_.reserve_scratch(static_cast<std::size_t>(P::memory.scratch_float));
    outputs_ = kernels::ForHost<Device, float>(static_cast<std::size_t>(capacity) * outputs);
    if constexpr (requires { device_.allow_cublas; }) device_.allow_cublas = false;  // of this handle alone
    if constexpr (has_graphs) {  // which measures the scratch memory
      graphs_.full = capture(device_, [this] { run_steps(capacity_); });
      graphs_.one = capacity_ == 1 ? graphs_.full : capture(device_, [this] { run_steps(1); });
    }
  }

  /// `batch` rows of `inputs` values in PyTorch's order; rows of `outputs` values, valid until the next call.
  std::span<const float> operator()(const float* x, int batch = 1) {
    upload(device_, x, input().data(), static_cast<std::size_t>(checked(batch)) * inputs);
    return run(batch);
  }

  /// The place of the input, for those who would rather write it there; then run().
  std::span<float> input() {
    return {arena_.data() + P::memory.input * capacity_, static_cast<std::size_t>(capacity_) * inputs};
  }
  std::span<const float> run(int batch = 1) {
    checked(batch);
    if constexpr (has_graphs) {
      if (batch == capacity_ || batch == 1)
        replay(device_, batch == 1 ? graphs_.one : graphs_.full);
      else
        run_steps(batch);
    } else {
      run_steps(batch);
    }
    const float* const y = arena_.data() + P::memory.output * capacity_;
    const std::size_t n = static_cast<std::size_t>(batch) * outputs;
    return {outputs_(device_, y, n), n};
  }

  const W& weights() const { return *weights_; }

 private:
  using Memory = typename Device::template Buffer<float>;

  // Where a device can replay what it was told once.
  static constexpr bool has_graphs = requires { typename Device::Graph; };
  struct NoGraphs {};
  template <class D>
  static auto graphs_of() {
    if constexpr (has_graphs) {
      struct Graphs {
        typename D::Graph full, one;
      };
      return Graphs{};
    } else {
      return NoGraphs{};
    }
  }

  void run_steps(int batch) {
    plan::Context<Device, float> c;
    c.dev = &device_;
    c.capacity = capacity_;
    c.batch = batch;
    c.arena = arena_.data();
    c.parameters = weights_->parameters_.data();
    c.states = const_cast<float*>(weights_->states_.data());  // read only at inference
    c.packed = const_cast<float*>(weights_->packed_.data());
    c.work = work_.span();
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
  kernels::ForHost<Device, float> outputs_;
  decltype(graphs_of<Device>()) graphs_;
};

}  // namespace tenon
