// A trainer of one network on one device, behind the interface of training.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include "models.hpp"
#include "training.hpp"

namespace program {

template <class Net, class Device>
class TrainingOf final : public Training {
  using Model = tenon::Model<Net, Device>;

 public:
  TrainingOf(const TrainingOptions& o, Device device)
      : model_(tenon::Seed{o.seed}, o.capacity, std::move(device)),
        trainer_(model_, o.optimizer, {}, o.schedule, {0, o.steps_a_launch}) {}

  bool epoch(const tenon::ImageData& data, const std::function<bool()>& on_step) override {
    return trainer_.epoch(data, [&](const tenon::LossSums&) { return on_step(); });
  }
  tenon::LossSums evaluate(const tenon::ImageData& data, const std::function<bool()>& on_batch) override {
    return trainer_.evaluate(data, [&](std::uint64_t, const auto&) { return on_batch(); });
  }
  tenon::Progress& progress() override { return trainer_.progress(); }
  double last_learning_rate() const override {
    const std::int64_t step = static_cast<std::int64_t>(trainer_.progress().step);
    return trainer_.optimizer().lr * trainer_.schedule().at(step > 0 ? step - 1 : 0);
  }
  std::uint64_t skipped() const override { return trainer_.skipped(); }
  long long parameters() const override {
    long long n = 0;
    for (const auto& t : model_.tensors())
      if (t.kind == tenon::plan::Tensor::Kind::parameter) n += t.dims.count();
    return n;
  }
  void save_model(const tenon::FileLock& file, const tenon::Metadata& metadata) const override {
    tenon::save_model(file, model_, metadata);
  }
  void save_checkpoint(const tenon::FileLock& file, const tenon::Metadata& metadata) const override {
    tenon::save_checkpoint(file, trainer_, metadata);
  }
  void load_checkpoint(const tenon::SafeTensors& file) override { tenon::load_checkpoint(trainer_, file); }

 private:
  Model model_;
  tenon::Trainer<Model, tenon::AnyOptimizer> trainer_;
};

/// The network of that name on that device; null if there is none.
template <class Device>
std::unique_ptr<Training> make_training_on(Device device, const TrainingOptions& options) {
  std::unique_ptr<Training> made;
  const auto offer = [&]<class Net>(const Net*) {
    if (options.model == Net::name) made = std::make_unique<TrainingOf<Net, Device>>(options, std::move(device));
  };
  offer(static_cast<models::Mlp*>(nullptr));
  offer(static_cast<models::Lenet*>(nullptr));
  offer(static_cast<models::Cnn*>(nullptr));
  offer(static_cast<models::Resnet*>(nullptr));
  return made;
}

}  // namespace program
