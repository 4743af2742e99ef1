// Session: a training behind an interface without kernels. The unit that uses one knows its network, and need not be able
// to compile for its device: a .cpp that g++ compiles trains on a GPU.
//   auto session = make_session<Net>({.optimizer = Adam{1e-3}}, Cuda{});      in the .cpp, with this header
//   TENON_INSTANTIATE(Net, tenon::Cuda);                                      in one .cu, with session_of.hpp
// The loss is CrossEntropy, and values are float. For all else there are Model and Trainer.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tenon/data/dataset.hpp"
#include "tenon/optimizers/any_optimizer.hpp"
#include "tenon/train/checkpoint.hpp"

namespace tenon {

struct SessionOptions {
  Seed seed = {};
  int capacity = 128;  // samples of the largest batch
  AnyOptimizer optimizer = Adam{};
  CrossEntropy loss = {};
  Schedule schedule = {};
  TrainerOptions trainer = {};
};

/// A session whatever its network. What is said of Model, Trainer and checkpoints holds for their functions here.
class AnySession {
 public:
  AnySession() = default;
  AnySession(const AnySession&) = delete;
  AnySession& operator=(const AnySession&) = delete;
  virtual ~AnySession() = default;

  /// One step with `batch` samples of yours: rows of values in PyTorch's order.
  virtual LossSums step(const float* x, const std::int32_t* labels, int batch) = 0;

  /// Makes now what the first epoch and evaluation of such data would make.
  virtual void prepare(const ImageData& data) = 0;

  /// The rest of the running epoch; `on_step(sums of what was done since)` says whether to go on.
  virtual bool epoch(const ImageData& data, const std::function<bool(const LossSums&)>& on_step) = 0;
  LossSums epoch(const ImageData& data) {
    if (progress().position == 0) progress().sums = {};
    epoch(data, [](const LossSums&) { return true; });
    return progress().sums;
  }

  /// Loss and accuracy; `on_batch(first sample, outputs)` says whether to go on. It may be empty.
  virtual LossSums evaluate(const ImageData& data,
                            const std::function<bool(std::uint64_t, std::span<const float>)>& on_batch) = 0;
  LossSums evaluate(const ImageData& data) {
    return evaluate(data, std::function<bool(std::uint64_t, std::span<const float>)>());
  }

  /// The outputs for `batch` samples as at inference, rows back to back; valid until the next call of anything here.
  virtual std::span<const float> predict(const float* x, int batch) = 0;

  virtual Progress& progress() = 0;
  virtual AnyOptimizer& optimizer() = 0;  // its rate may be changed
  virtual const Schedule& schedule() const = 0;
  virtual std::uint64_t skipped() const = 0;  // samples of each epoch's end
  virtual void settle() = 0;                  // before a checkpoint between two steps

  /// What the network has, by name, and where each of its parameters stands in parameters().
  virtual const std::vector<plan::Tensor>& tensors() const = 0;
  virtual std::vector<float> parameters() const = 0;  // a copy
  long long parameter_count() const {
    long long n = 0;
    for (const plan::Tensor& t : tensors())
      if (t.kind == plan::Tensor::Kind::parameter) n += t.dims.count();
    return n;
  }

  virtual void save_model(const FileLock& file, const Metadata& metadata = {}) const = 0;
  virtual void load_model(const SafeTensors& file) = 0;
  virtual void save_checkpoint(const FileLock& file, const Metadata& metadata = {}) const = 0;
  virtual void load_checkpoint(const SafeTensors& file) = 0;

  void save_model(const std::string& path, const Metadata& metadata = {}) const {
    save_model(FileLock(path), metadata);
  }
  void save_checkpoint(const std::string& path, const Metadata& metadata = {}) const {
    save_checkpoint(FileLock(path), metadata);
  }
  /// These return the metadata.
  Metadata load_model(const std::string& path) {
    const SafeTensors file = SafeTensors::open(path);
    load_model(file);
    return file.metadata();
  }
  Metadata load_checkpoint(const std::string& path) {
    const SafeTensors file = SafeTensors::open(path);
    load_checkpoint(file);
    return file.metadata();
  }
};

/// A session of that network, on a device that only make_session knows.
template <class Net>
class Session : public AnySession {
 public:
  using Network = Net;
  static constexpr int inputs = static_cast<int>(Net::input.count());
  static constexpr int outputs = static_cast<int>(Net::output.count());
};

namespace detail {

template <class Net, class Device>
struct SessionMaker {
  static std::unique_ptr<Session<Net>> make(const SessionOptions& options, Device device);  // in session_of.hpp
};

}  // namespace detail

/// Links if one unit includes session_of.hpp, and calls this or says TENON_INSTANTIATE(Net, Device).
template <class Net, class Device>
std::unique_ptr<Session<Net>> make_session(const SessionOptions& options, Device device) {
  return detail::SessionMaker<Net, Device>::make(options, std::move(device));
}

}  // namespace tenon
