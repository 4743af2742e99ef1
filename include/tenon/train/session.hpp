// Session: a training behind an interface without kernels. The unit that uses it knows the network, but does not have to
// compile for the device: a .cpp compiled by g++ can train on a GPU.
//   auto session = make_session<Net>({.optimizer = Adam{1e-3}}, Cuda{});      in the .cpp, with this header
//   TENON_INSTANTIATE(Net, tenon::Cuda);                                      in one .cu, with session_impl.hpp
// The loss is CrossEntropy, and values are float. For everything else use Model and Trainer.
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

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct SessionOptions {
  Seed seed = {};
  int capacity = 128;  // samples of the largest batch
  AnyOptimizer optimizer = Adam{};
  CrossEntropy loss = {};
  TrainerOptions trainer = {};  // schedule, clipping and more
};

/// A session for any network. The documentation of Model, Trainer and checkpoints applies to the functions of the same
/// names.
class AnySession {
 public:
  AnySession() = default;
  AnySession(const AnySession&) = delete;
  AnySession& operator=(const AnySession&) = delete;
  virtual ~AnySession() = default;

  /// One step with `batch` samples from the caller: rows of values in PyTorch's order.
  virtual LossSums step(const float* x, const std::int32_t* labels, int batch) = 0;

  /// Creates now what the first epoch and evaluation with such data would create.
  virtual void prepare(const ImageData& data) = 0;

  /// Runs the rest of the running epoch. `on_step(sums since the last call)` returns true to continue. Returns true when
  /// the epoch is finished.
  virtual bool epoch(const ImageData& data, const std::function<bool(const LossSums&)>& on_step) = 0;
  LossSums epoch(const ImageData& data) {
    if (progress().position == 0) progress().sums = {};
    epoch(data, [](const LossSums&) { return true; });
    return progress().sums;
  }

  /// Computes loss and accuracy. `on_batch(first sample, outputs)` returns true to continue. It may be empty.
  virtual LossSums evaluate(const ImageData& data,
                            const std::function<bool(std::uint64_t, std::span<const float>)>& on_batch) = 0;
  LossSums evaluate(const ImageData& data) {
    return evaluate(data, std::function<bool(std::uint64_t, std::span<const float>)>());
  }

  /// The outputs for `batch` samples in inference mode, as contiguous rows. They are valid until the next call of any
  /// function of the session.
  virtual std::span<const float> predict(const float* x, int batch) = 0;

  virtual Progress& progress() = 0;
  virtual AnyOptimizer& optimizer() = 0;  // its learning rate may be changed
  virtual const Schedule& schedule() const = 0;
  virtual std::uint64_t skipped() const = 0;  // samples left out at the end of each epoch
  virtual void verify_last_update() = 0;      // for a checkpoint between two steps

  /// The tensors of the network: names, and the offset of each parameter in parameters().
  virtual const std::vector<plan::NamedTensor>& tensors() const = 0;
  virtual std::vector<float> parameters() const = 0;  // a copy
  long long parameter_count() const {
    long long n = 0;
    for (const plan::NamedTensor& t : tensors())
      if (t.kind == plan::NamedTensor::Kind::parameter) n += t.dims.count();
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

/// A session for the network Net, on a device that only make_session knows.
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
  static std::unique_ptr<Session<Net>> make(const SessionOptions& options, Device device);  // in session_impl.hpp
};

}  // namespace detail

/// Links if one unit includes session_impl.hpp and either calls this function or contains TENON_INSTANTIATE(Net, Device).
template <class Net, class Device>
std::unique_ptr<Session<Net>> make_session(const SessionOptions& options, Device device) {
  return detail::SessionMaker<Net, Device>::make(options, std::move(device));
}

}  // namespace tenon

TENON_IEEE_MATH_END
