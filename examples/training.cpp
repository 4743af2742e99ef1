// The four networks' trainers behind one interface.
// SPDX-License-Identifier: MIT
#include "training.hpp"

#include "models.hpp"

namespace program {

namespace {

template <class Net>
class TrainingOf final : public Training {
 public:
  TrainingOf(std::uint64_t seed, int capacity, tenon::Cpu cpu, tenon::AnyOptimizer optimizer, tenon::Schedule schedule)
      : model_(tenon::Seed{seed}, capacity, std::move(cpu)), trainer_(model_, optimizer, {}, schedule) {}

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
  tenon::Model<Net> model_;
  tenon::Trainer<tenon::Model<Net>, tenon::AnyOptimizer> trainer_;
};

}  // namespace

std::unique_ptr<Training> make_training(const std::string& model, std::uint64_t seed, int capacity, tenon::Cpu cpu,
                                        const tenon::AnyOptimizer& optimizer, const tenon::Schedule& schedule) {
  std::unique_ptr<Training> made;
  const auto offer = [&]<class Net>(const Net*) {
    if (model == Net::name)
      made = std::make_unique<TrainingOf<Net>>(seed, capacity, std::move(cpu), optimizer, schedule);
  };
  offer(static_cast<models::Mlp*>(nullptr));
  offer(static_cast<models::Lenet*>(nullptr));
  offer(static_cast<models::Cnn*>(nullptr));
  offer(static_cast<models::Resnet*>(nullptr));
  return made;
}

}  // namespace program
