// The implementation of Session: a model and a trainer on one device. For the unit that compiles their kernels.
//   #include <tenon/cuda.cuh>                     // if the device is Cuda: nvcc compiles the unit
//   #include <tenon/train/session_impl.hpp>
//   TENON_INSTANTIATE(Net, tenon::Cuda);          // outside of namespaces
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/gather.hpp"
#include "tenon/train/session.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <class Net, class Device>
class SessionImpl final : public Session<Net> {
  using Model = tenon::Model<Net, Device>;

 public:
  SessionImpl(const SessionOptions& o, Device device)
      : model_(o.seed, o.capacity, std::move(device)),
        trainer_(model_, o.optimizer, o.loss, o.trainer),
        outputs_(static_cast<std::size_t>(o.capacity) * Model::outputs) {}

  LossSums step(const float* x, const std::int32_t* labels, int batch) override {
    return trainer_.step(x, labels, batch);
  }
  void prepare(const ImageData& data) override { trainer_.prepare(data); }
  bool epoch(const ImageData& data, const std::function<bool(const LossSums&)>& on_step) override {
    return trainer_.epoch(data, on_step);
  }
  LossSums evaluate(const ImageData& data,
                    const std::function<bool(std::uint64_t, std::span<const float>)>& on_batch) override {
    if (!on_batch) return trainer_.evaluate(data);
    return trainer_.evaluate(data, [&](std::uint64_t first, const auto& y) {
      return on_batch(first, {y.data, y.size()});
    });
  }
  std::span<const float> predict(const float* x, int batch) override {
    const auto in = model_.input(batch);
    upload(model_.device(), x, in.data, in.size());
    const auto y = model_.predict(batch);
    return {outputs_(model_.device(), y.data, y.size()), y.size()};
  }

  Progress& progress() override { return trainer_.progress(); }
  AnyOptimizer& optimizer() override { return trainer_.optimizer(); }
  const Schedule& schedule() const override { return trainer_.schedule(); }
  std::uint64_t skipped() const override { return trainer_.skipped(); }
  void verify_last_update() override { trainer_.verify_last_update(); }

  const std::vector<plan::NamedTensor>& tensors() const override { return model_.tensors(); }
  std::vector<float> parameters() const override {
    detail::OnHost<Model> here(model_);
    const float* const p = here.flat().parameters;
    return {p, p + model_.parameters().size};
  }

  void save_model(const FileLock& file, const Metadata& metadata) const override {
    tenon::save_model(file, model_, metadata);
  }
  void load_model(const SafeTensors& file) override { tenon::load_model(model_, file); }
  void save_checkpoint(const FileLock& file, const Metadata& metadata) const override {
    tenon::save_checkpoint(file, trainer_, metadata);
  }
  void load_checkpoint(const SafeTensors& file) override { tenon::load_checkpoint(trainer_, file); }

 private:
  Model model_;
  Trainer<Model, AnyOptimizer> trainer_;
  kernels::HostMirror<Device, float> outputs_;  // of the last prediction
};

template <class Net, class Device>
std::unique_ptr<Session<Net>> detail::SessionMaker<Net, Device>::make(const SessionOptions& options, Device device) {
  // Every model needs all_finite. Without this check, missing kernels would give a long list of names that were not found.
  constexpr bool kernels = requires(const float* p) { all_finite(device, Span<const float>{p, 1}); };
  static_assert(
      kernels,
      "tenon::make_session<Net, Cuda>: expected <tenon/cuda.cuh> in front of <tenon/train/session_impl.hpp>, in a "
      "unit that nvcc compiles; a .cpp includes <tenon/train/session.hpp> alone");
  if constexpr (kernels)
    return std::make_unique<SessionImpl<Net, Device>>(options, std::move(device));
  else
    return nullptr;
}

}  // namespace tenon

TENON_IEEE_MATH_END
