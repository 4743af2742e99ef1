// Training: a trainer whatever its network, so that the program around it is compiled once and not once a model.
// The networks are in training.cpp, a unit of its own: kernels are what takes long to compile.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <tenon/core/thread_pool.hpp>
#include <tenon/data/dataset.hpp>
#include <tenon/optimizers/any_optimizer.hpp>
#include <tenon/train/checkpoint.hpp>

#include "device.hpp"

namespace program {

class Training {
 public:
  virtual ~Training() = default;
  /// The rest of the running epoch, as Trainer::epoch; false if on_step() said so.
  virtual bool epoch(const tenon::ImageData& data, const std::function<bool()>& on_step) = 0;
  virtual tenon::LossSums evaluate(const tenon::ImageData& data, const std::function<bool()>& on_batch) = 0;
  virtual tenon::Progress& progress() = 0;
  virtual double last_learning_rate() const = 0;  // of the last step made
  virtual std::uint64_t skipped() const = 0;
  virtual long long parameters() const = 0;
  virtual void save_model(const tenon::FileLock& file, const tenon::Metadata& metadata) const = 0;
  virtual void save_checkpoint(const tenon::FileLock& file, const tenon::Metadata& metadata) const = 0;
  virtual void load_checkpoint(const tenon::SafeTensors& file) = 0;
};

struct TrainingOptions {
  std::string model;
  std::uint64_t seed = 1;
  int capacity = 128;
  tenon::AnyOptimizer optimizer = tenon::Adam{};
  tenon::Schedule schedule;
  int steps_a_launch = 64;  // on Cuda
};

/// The model of that name; null if there is none.
std::unique_ptr<Training> make_training(const TrainingOptions& options, const DeviceChoice& device);
/// Of cuda.cu or without_cuda.cpp.
std::unique_ptr<Training> make_cuda_training(const TrainingOptions& options, const DeviceChoice& device);

}  // namespace program
