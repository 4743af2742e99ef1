// Guard: protects a training's weights. It owns what a training changes in addition to the model (the optimizer's buffers
// and the progress). Before an update of unusual size it saves these and the weights. It restores them if the update made
// the weights unusable.
//
// An update with learning rate * (1 + norm of the gradient) below `unusual_update` cannot overflow a float. A larger update
// is provisional (on probation) until the next loss, or verify(), confirms it or rolls it back. Saving a model or a
// checkpoint calls verify().
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tenon/core/math.hpp"
#include "tenon/cpu/reduce.hpp"
#include "tenon/train/model.hpp"
#include "tenon/train/progress.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::detail {

inline constexpr double unusual_update = 1e3;

template <class Model>
class Guard final : public ModelObserver {
 public:
  using T = typename Model::T;
  template <class V>
  using Memory = typename Model::template Memory<V>;

  /// `buffers`: the number of buffers of the parameters' size that the optimizer keeps.
  Guard(Model& model, int buffers) : model_(&model) {
    for (int s = 0; s < buffers; ++s) optimizer_state.push_back(allocate<T>(model.device(), model.parameters().size));
    model.observers().add(this);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  /// Verifies an update that is still on probation. If its outputs are not finite, it is rolled back.
  ~Guard() {
    if (!model_) return;
    settle();
    model_->observers().remove(this);
  }

  std::vector<Memory<T>> optimizer_state;
  Progress progress;
  std::uint64_t forwarded = 0;  // samples of forward() since the last update

  /// Whether the model is still the one that this object was made for. A move or an assignment of the model ends that.
  bool attached() const { return model_ != nullptr; }
  bool on_probation() const { return on_probation_; }

  /// The norm of the model's gradients times `scale`. If it is not finite, restores the states and throws NonFinite.
  double gradient_norm(double scale) {
    const Span<const T> g{model_->gradients().data, model_->gradients().size};
    const double squared = sum_of_squares(model_->device(), g) * scale * scale;
    if (math::is_finite(squared)) return math::sqrt(squared);
    model_->restore_states();
    const std::string layer = model_->first_non_finite_gradient();
    throw NonFinite("gradient", progress.step + 1, layer.empty() ? "its norm" : layer);
  }

  /// Launches an update of the given size, learning rate * (1 + norm) * gain. An unusual one is put on probation. If its
  /// weights are not finite, rolls it back and throws NonFinite.
  template <class F>
  void update(double size, F launch) {
    const bool unusual = !(size < unusual_update);
    if (model_->observers().pending() != this) model_->verify_last_update();  // of another trainer of the model
    if (unusual) {
      verify();  // an earlier one, before its backup is overwritten
      save(model_->batch());
    }
    launch();
    if (!unusual || all_finite(model_->device(), std::as_const(*model_).parameters())) return;
    const std::string layer = model_->first_non_finite_parameter();
    rollback();
    throw NonFinite("update", progress.step + 1, layer.empty() ? "the weights" : layer);
  }

  /// Saves everything that an update changes, and puts the update on probation. `batch`: samples of the last forward pass.
  void save(int batch) {
    auto& dev = model_->device();
    if (!model_->states_are_saved()) model_->save_states();
    if (backup_.empty()) for_each_changed([&](Span<T> of) { backup_.push_back(allocate<T>(dev, of.size)); });
    std::size_t i = 0;
    for_each_changed([&](Span<T> of) { copy(dev, static_cast<const T*>(of.data), backup_[i++].data(), of.size); });
    backup_counters_ = model_->saved_counters();
    backup_progress_ = progress;
    batch_ = batch;
    on_probation_ = true;
    model_->observers().set_pending(this);
  }

  /// Ends the probation, because a finite loss was computed with the weights.
  void confirm() {
    if (!on_probation_) return;
    on_probation_ = false;
    if (model_) model_->observers().set_pending(nullptr);
  }

  /// Restores everything to its state before the update on probation.
  void rollback() {
    auto& dev = model_->device();
    std::size_t i = 0;
    for_each_changed([&](Span<T> of) { copy(dev, static_cast<const T*>(backup_[i++].data()), of.data, of.size); });
    model_->set_saved(backup_counters_);
    model_->restore_states();
    progress = backup_progress_;
    forwarded = 0;
    confirm();
  }

  /// If the last update is on probation, runs the last batch through the network again. If its outputs are not finite,
  /// rolls the update back and throws NonFinite.
  void verify() override {
    if (!on_probation_) return;
    const std::string layer = model_->first_non_finite(model_->awaits_backward() ? model_->batch() : batch_);
    if (layer.empty()) return confirm();
    if (layer == "the input" && all_finite(model_->device(), std::as_const(*model_).parameters()))
      return;  // a later batch was written there, which says nothing about the update
    roll_back_and_throw(layer);
  }
  /// Confirms an update on probation if the outputs of the running step are finite. Otherwise rolls it back and throws.
  void verify_outputs() {
    if (!on_probation_) return;
    const auto y = model_->training_output();
    if (all_finite(model_->device(), Span<const T>{y.data, y.size()})) return confirm();
    const std::string layer = model_->first_non_finite(model_->batch());
    roll_back_and_throw(layer.empty() ? "the outputs" : layer);
  }

  void settle() noexcept override {
    try {
      verify();
    } catch (...) {  // the weights are those before the update again
    }
    confirm();
  }
  void discard() noexcept override { confirm(); }
  void detach() noexcept override { model_ = nullptr; }

 private:
  [[noreturn]] void roll_back_and_throw(const std::string& layer) {
    const std::uint64_t step = progress.step;
    rollback();
    throw NonFinite("output", step, layer);
  }

  template <class F>
  void for_each_changed(F f) {
    f(model_->parameters());
    for (auto& s : optimizer_state) f(s.span());
    f(model_->saved_states());  // from before the update's first forward pass
  }

  Model* model_;
  std::vector<Memory<T>> backup_;
  std::vector<long long> backup_counters_;
  Progress backup_progress_;
  int batch_ = 1;
  bool on_probation_ = false;
};

}  // namespace tenon::detail

TENON_IEEE_MATH_END
