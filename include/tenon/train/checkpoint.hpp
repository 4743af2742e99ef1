// Models and checkpoints as safetensors files.
//
//   model        the network's tensors with PyTorch's names
//   checkpoint   the same; the optimizer's buffers as "optimizer.exp_avg.0.weight"; the progress of the training in the
//                metadata. A trainer constructed in the same way that loads it continues with the same bits as an
//                uninterrupted training
//
// The metadata are those of the caller, sorted, plus "tenon.format". The bytes of a file depend only on its content.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tenon/core/number.hpp"
#include "tenon/plan/tensors.hpp"
#include "tenon/train/trainer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace detail {

/// Values of a device that the host reads and changes: the memory itself on the Cpu, a copy on other devices.
template <class Device, class T>
class Editable {
 public:
  Editable(Device& dev, Span<T> there)
      : there_(there), mirror_(there.size), here_(const_cast<T*>(mirror_(dev, there.data, there.size))) {}
  T* data() const { return here_; }
  void write_back(const Device& dev) const {
    if (here_ != there_.data) upload(dev, static_cast<const T*>(here_), there_.data, there_.size);
  }

 private:
  Span<T> there_;
  kernels::HostMirror<Device, T> mirror_;
  T* here_;
};

/// Gives the host access to a model's memory during its lifetime.
template <class Model>
class OnHost {
  using T = typename Model::T;
  using Device = typename Model::device_type;

 public:
  // A const model is allowed, because saving only reads.
  explicit OnHost(const Model& model)
      : model_(const_cast<Model&>(model)),
        parameters_(model_.device(), model_.parameters()),
        states_(model_.device(), model_.states()) {}

  plan::Flat<T> flat() { return {parameters_.data(), states_.data(), model_.counters().data()}; }

  /// Call it after writing to flat().
  void write_back() {
    parameters_.write_back(model_.device());
    states_.write_back(model_.device());
  }

 protected:
  Model& model_;

 private:
  Editable<Device, T> parameters_, states_;
};

/// A trainer's memory without the type of its network. The functions below are compiled once for each type of values.
template <class T>
struct Snapshot {
  const std::vector<plan::NamedTensor>* tensors;
  plan::Flat<T> flat;
  std::span<const char* const> state_names;  // of the optimizer's buffers that are in use
  std::vector<T*> states;
  Progress* progress;
};

/// The same for a trainer.
template <class Trainer, class Model = std::remove_cvref_t<decltype(std::declval<Trainer&>().model())>>
class TrainerOnHost : OnHost<Model> {
  using T = typename Trainer::T;

 public:
  explicit TrainerOnHost(const Trainer& trainer)
      : OnHost<Model>(trainer.model()), trainer_(const_cast<Trainer&>(trainer)) {
    using Optimizer = std::remove_cvref_t<decltype(trainer.optimizer())>;
    if constexpr (requires { trainer.optimizer().used_states(); })
      names_ = trainer.optimizer().used_states();
    else if constexpr (Optimizer::states > 0)
      names_ = {Optimizer::state_names, static_cast<std::size_t>(Optimizer::states)};
    for (std::size_t i = 0; i < names_.size(); ++i)
      states_.emplace_back(trainer_.model().device(), trainer_.state()[i].span());
  }

  Snapshot<T> snapshot() {
    Snapshot<T> s{&trainer_.model().tensors(), this->flat(), names_, {}, &trainer_.progress()};
    for (const auto& state : states_) s.states.push_back(state.data());
    return s;
  }

  void write_back() {
    OnHost<Model>::write_back();
    for (const auto& state : states_) state.write_back(trainer_.model().device());
  }

 private:
  Trainer& trainer_;
  std::span<const char* const> names_;
  std::vector<Editable<typename Model::device_type, T>> states_;
};

// Throws Error for values that read_tensors would reject, so that they are not written.
template <class T>
std::vector<TensorInfo> finite_tensors(const std::vector<plan::NamedTensor>& tensors, plan::Flat<T> flat,
                                       std::string_view where) {
  std::vector<TensorInfo> list;
  list_tensors(tensors, flat, list);
  for (const plan::NamedTensor& t : tensors) {
    if (t.kind == plan::NamedTensor::Kind::counter) continue;
    require_finite<T>("save_model", t.name, values_of(t, flat), where);
  }
  return list;
}

inline void set_format(Metadata& metadata) { metadata["tenon.format"] = std::to_string(file_format); }

template <class T>
void save_model(const FileLock& lock, const std::vector<plan::NamedTensor>& tensors, plan::Flat<T> flat,
                Metadata metadata) {
  set_format(metadata);
  save_safetensors(lock, finite_tensors(tensors, flat, lock.path()), metadata);
}

// The prefix of the names of the tensors that hold one of the optimizer's buffers.
inline std::string prefix_of(const char* state_name) { return optimizer_prefix + state_name + "."; }

// Calls f(name, tensor, values) for each tensor of the optimizer.
template <class T, class F>
void each_optimizer_tensor(const Snapshot<T>& s, F f) {
  for (std::size_t i = 0; i < s.states.size(); ++i)
    for (const plan::NamedTensor& t : *s.tensors)
      if (t.kind == plan::NamedTensor::Kind::parameter)
        f(prefix_of(s.state_names[i]) + t.name, t,
          std::span<T>(s.states[i] + t.offset, static_cast<std::size_t>(t.dims.count())));
}

// The shortest decimal text that is read back as the same number.
template <class N>
std::string number_text(N n) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, n).ptr};
}

template <class N>
void read_number(const SafeTensors& file, const char* key, N& n) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    throw Error(
        "load_checkpoint",
        "expected a checkpoint, got a file without \"" + std::string(key) + "\" in its metadata: is it a model?",
        file.where());
  const std::string& text = found->second;
  const auto value = parse_number<N>(text);
  if (!value)
    throw Error("load_checkpoint",
                "expected a number as \"" + std::string(key) + "\" in the metadata, got " + in_quotes(text),
                file.where());
  n = *value;
}

// Calls f(key, member) for all members of a Progress, for writing and for reading.
template <class F>
void each_number(Progress& p, F f) {
  f("progress.step", p.step);
  f("progress.epoch", p.epoch);
  f("progress.position", p.position);
  f("progress.loss_sum", p.sums.loss_sum);
  f("progress.weight_sum", p.sums.weight_sum);
  f("progress.correct", p.sums.correct);
  f("progress.count", p.sums.count);
}

template <class T>
void save_checkpoint(const FileLock& lock, const Snapshot<T>& s, Metadata metadata) {
  set_format(metadata);
  each_number(*s.progress, [&](const char* key, auto n) { metadata[key] = number_text(n); });
  std::vector<TensorInfo> list = finite_tensors(*s.tensors, s.flat, lock.path());
  each_optimizer_tensor(s, [&](std::string name, const plan::NamedTensor& t, std::span<const T> values) {
    require_finite<T>("save_model", name, values, lock.path(), true);
    list.push_back(tensor_info<T>(std::move(name), shape_of(t.dims), values));
  });
  save_safetensors(lock, list, metadata);
}

template <class T>
void load_checkpoint(const Snapshot<T>& s, const SafeTensors& file) {
  check_format(file);
  Progress progress;
  each_number(progress, [&](const char* key, auto& n) { read_number(file, key, n); });
  if (progress.step > Progress::max_steps)
    throw Error("load_checkpoint",
                "expected \"progress.step\" of at most " + std::to_string(Progress::max_steps) + ", got " +
                    std::to_string(progress.step),
                file.where());

  // An infinite mean square is valid. NaN never is.
  std::vector<std::vector<T>> values;
  const TensorLookup named(file);
  each_optimizer_tensor(s, [&](const std::string& name, const plan::NamedTensor& t, std::span<T>) {
    const TensorInfo* const found = named.find(name);
    if (!found)
      throw Error("load_checkpoint",
                  "expected a tensor \"" + name + "\", got a checkpoint without it: is it of another optimizer?",
                  file.where());
    if (found->shape != shape_of(t.dims))
      throw Error(
          "load_checkpoint",
          "expected tensor \"" + name + "\" of shape " + plan::spell(t.dims) + ", got " + shape_text(found->shape),
          file.where());
    values.push_back(read_as<T>(*found, file.where()));
    require_finite<T>("load_checkpoint", name, values.back(), file.where(), true);
  });
  std::vector<std::string> others;
  for (const char* name : s.state_names) others.push_back(prefix_of(name));
  read_tensors(file, *s.tensors, s.flat, others);

  std::size_t i = 0;
  each_optimizer_tensor(s, [&](const std::string&, const plan::NamedTensor&, std::span<T> to) {
    std::copy(values[i].begin(), values[i].end(), to.begin());
    ++i;
  });
  *s.progress = progress;
}

}  // namespace detail

/// Writes a model. At any time the file is the complete old or new one. Throws Error if the model contains NaN or infinity.
/// If the last update of a training made the outputs non-finite, rolls the weights back and throws NonFinite.
template <class Model>
void save_model(const FileLock& lock, const Model& model, Metadata metadata = {}) {
  model.verify_last_update();
  detail::save_model(lock, model.tensors(), detail::OnHost<Model>(model).flat(), std::move(metadata));
}
template <class Model>
void save_model(const std::string& path, const Model& model, Metadata metadata = {}) {
  save_model(FileLock(path), model, std::move(metadata));
}

/// Reads a model saved by tenon or PyTorch, which must have exactly the tensors of this network, or the model in a
/// checkpoint. Reading is all or nothing. For a file that holds more tensors see part_of (plan/tensors.hpp).
template <class Model>
void load_model(Model& model, const SafeTensors& file) {
  detail::OnHost<Model> here(model);
  read_tensors(file, model.tensors(), here.flat(), std::span(&optimizer_prefix, 1));
  model.weights_were_replaced();
  here.write_back();
}
/// Returns the metadata.
template <class Model>
Metadata load_model(Model& model, const std::string& path) {
  const SafeTensors file = SafeTensors::open(path);
  load_model(model, file);
  return file.metadata();
}

/// Writes everything that a trainer needs to continue, except its construction arguments (seed, batch, optimizer, schedule,
/// data). The caller must store these, for instance in `metadata`.
/// Between forward() and update() it writes the training as it was after the last update. If the last update made the
/// outputs non-finite, rolls the training back and throws NonFinite.
template <class Trainer>
void save_checkpoint(const FileLock& lock, const Trainer& trainer, Metadata metadata = {}) {
  trainer.model().verify_last_update();
  const typename std::remove_cvref_t<decltype(trainer.model())>::BeforeStep before(trainer.model());
  detail::save_checkpoint(lock, detail::TrainerOnHost<Trainer>(trainer).snapshot(), std::move(metadata));
}
template <class Trainer>
void save_checkpoint(const std::string& path, const Trainer& trainer, Metadata metadata = {}) {
  save_checkpoint(FileLock(path), trainer, std::move(metadata));
}

/// Reads a checkpoint into a trainer that was constructed in the same way. Reading is all or nothing.
template <class Trainer>
void load_checkpoint(Trainer& trainer, const SafeTensors& file) {
  detail::TrainerOnHost<Trainer> here(trainer);
  detail::load_checkpoint(here.snapshot(), file);
  here.write_back();
  trainer.resume();
}
/// Returns the metadata.
template <class Trainer>
Metadata load_checkpoint(Trainer& trainer, const std::string& path) {
  const SafeTensors file = SafeTensors::open(path);
  load_checkpoint(trainer, file);
  return file.metadata();
}

}  // namespace tenon

TENON_IEEE_MATH_END
