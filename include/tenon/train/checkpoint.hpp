// Models and checkpoints as safetensors files.
//
//   model        the network's tensors under PyTorch's names
//   checkpoint   the same; the optimizer's buffers as "optimizer.exp_avg.0.weight"; in the metadata, where the training
//                stands. A trainer made alike and loaded from it goes on with the same bits as one that never stopped
//
// Metadata are the caller's, sorted, plus "tenon.format". The bytes of a file are a function of what it says.
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

#include "tenon/train/tensors.hpp"
#include "tenon/train/trainer.hpp"

namespace tenon {

namespace detail {

/// A model's memory as the host sees it while this lives: of the Cpu the memory itself, of another device a copy.
template <class Model>
class OnHost {
  using T = typename Model::T;

 public:
  static constexpr bool copies = !Model::device_type::host_memory;

  // Those who save only read, so a const model will do.
  explicit OnHost(const Model& model) : model_(const_cast<Model&>(model)) {
    if constexpr (copies) {
      parameters_ = read(model_.parameters());
      states_ = read(model_.states());
    }
  }

  Flat<T> flat() {
    if constexpr (copies)
      return {parameters_.data(), states_.data(), model_.counters().data()};
    else
      return {model_.parameters().data, model_.states().data, model_.counters().data()};
  }

  /// After flat() was written to.
  void write_back() {
    if constexpr (copies) {
      upload(model_.device(), parameters_.data(), model_.parameters().data, parameters_.size());
      upload(model_.device(), states_.data(), model_.states().data, states_.size());
    }
  }

  Buffer<T> read(Span<T> from) {
    Buffer<T> to(from.size);
    download(model_.device(), from.data, to.data(), to.size());
    return to;
  }

 protected:
  Model& model_;

 private:
  Buffer<T> parameters_, states_;
};

/// A trainer's memory, whatever its network: what follows is compiled once for each type of values.
template <class T>
struct Snapshot {
  const std::vector<plan::Tensor>* tensors;
  Flat<T> flat;
  std::span<const char* const> state_names;  // of the optimizer's buffers that are in use
  std::vector<T*> states;
  Progress* progress;
};

/// The same of a trainer.
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
    if constexpr (copies)
      for (std::size_t i = 0; i < names_.size(); ++i) states_.push_back(this->read(trainer_.state()[i].span()));
  }

  Snapshot<T> snapshot() {
    Snapshot<T> s{&trainer_.model().tensors(), this->flat(), names_, {}, &trainer_.progress()};
    for (std::size_t i = 0; i < names_.size(); ++i)
      if constexpr (copies)
        s.states.push_back(states_[i].data());
      else
        s.states.push_back(trainer_.state()[i].data());
    return s;
  }

  void write_back() {
    OnHost<Model>::write_back();
    if constexpr (copies)
      for (std::size_t i = 0; i < names_.size(); ++i)
        upload(trainer_.model().device(), states_[i].data(), trainer_.state()[i].data(), states_[i].size());
  }

 private:
  static constexpr bool copies = OnHost<Model>::copies;

  Trainer& trainer_;
  std::span<const char* const> names_;
  std::vector<Buffer<T>> states_;
};

// What read_tensors would refuse is not written.
template <class T>
std::vector<TensorInfo> finite_tensors(const std::vector<plan::Tensor>& tensors, Flat<T> flat, std::string_view where) {
  std::vector<TensorInfo> list;
  list_tensors(tensors, flat, list);
  for (const plan::Tensor& t : tensors) {
    if (t.kind == plan::Tensor::Kind::counter) continue;
    require_finite<T>("save_model", t.name, values_of(t, flat), where);
  }
  return list;
}

inline void set_format(Metadata& metadata) { metadata["tenon.format"] = std::to_string(file_format); }

template <class T>
void save_model(const FileLock& lock, const std::vector<plan::Tensor>& tensors, Flat<T> flat, Metadata metadata) {
  set_format(metadata);
  save_safetensors(lock, finite_tensors(tensors, flat, lock.path()), metadata);
}

// How the names of the tensors begin that hold one of an optimizer's buffers.
inline std::string prefix_of(const char* state_name) { return "optimizer." + std::string(state_name) + "."; }

// f(name, tensor, values) for each tensor of the optimizer.
template <class T, class F>
void each_optimizer_tensor(const Snapshot<T>& s, F f) {
  for (std::size_t i = 0; i < s.states.size(); ++i)
    for (const plan::Tensor& t : *s.tensors)
      if (t.kind == plan::Tensor::Kind::parameter)
        f(prefix_of(s.state_names[i]) + t.name, t,
          std::span<T>(s.states[i] + t.offset, static_cast<std::size_t>(t.dims.count())));
}

// The shortest decimal that reads back as the same number.
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
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size())
    throw Error("load_checkpoint",
                "expected a number as \"" + std::string(key) + "\" in the metadata, got " + in_quotes(text),
                file.where());
}

// f(key, member) for all of a Progress: one list for writing and reading.
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
  each_optimizer_tensor(s, [&](std::string name, const plan::Tensor& t, std::span<const T> values) {
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

  // An infinite mean square is a legitimate one; NaN never is.
  std::vector<std::vector<T>> values;
  each_optimizer_tensor(s, [&](const std::string& name, const plan::Tensor& t, std::span<T>) {
    const TensorInfo* const found = file.find(name);
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
  each_optimizer_tensor(s, [&](const std::string&, const plan::Tensor&, std::span<T> to) {
    std::copy(values[i].begin(), values[i].end(), to.begin());
    ++i;
  });
  *s.progress = progress;
}

}  // namespace detail

/// Writes a model; the file is the old or the new one, whole, at any instant. NaN or infinity in it: Error.
template <class Model>
void save_model(const FileLock& lock, const Model& model, Metadata metadata = {}) {
  detail::save_model(lock, model.tensors(), detail::OnHost<Model>(model).flat(), std::move(metadata));
}
template <class Model>
void save_model(const std::string& path, const Model& model, Metadata metadata = {}) {
  save_model(FileLock(path), model, std::move(metadata));
}

/// Reads a model, of ours or of PyTorch's, with the tensors of this network and no others. All or nothing.
template <class Model>
void load_model(Model& model, const SafeTensors& file) {
  detail::OnHost<Model> here(model);
  read_tensors(file, model.tensors(), here.flat());
  here.write_back();
}
/// Returns the metadata.
template <class Model>
Metadata load_model(Model& model, const std::string& path) {
  const SafeTensors file = SafeTensors::open(path);
  load_model(model, file);
  return file.metadata();
}

/// Writes all that a trainer needs to go on. What it was made with (seed, batch, optimizer, schedule, data) is the
/// caller's to remember, in `metadata` for instance.
template <class Trainer>
void save_checkpoint(const FileLock& lock, const Trainer& trainer, Metadata metadata = {}) {
  detail::save_checkpoint(lock, detail::TrainerOnHost<Trainer>(trainer).snapshot(), std::move(metadata));
}
template <class Trainer>
void save_checkpoint(const std::string& path, const Trainer& trainer, Metadata metadata = {}) {
  save_checkpoint(FileLock(path), trainer, std::move(metadata));
}

/// Reads what save_checkpoint wrote into a trainer made alike. All or nothing.
template <class Trainer>
void load_checkpoint(Trainer& trainer, const SafeTensors& file) {
  detail::TrainerOnHost<Trainer> here(trainer);
  detail::load_checkpoint(here.snapshot(), file);
  here.write_back();
}
/// Returns the metadata.
template <class Trainer>
Metadata load_checkpoint(Trainer& trainer, const std::string& path) {
  const SafeTensors file = SafeTensors::open(path);
  load_checkpoint(trainer, file);
  return file.metadata();
}

}  // namespace tenon
