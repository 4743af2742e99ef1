// Models and checkpoints as safetensors files.
//
//   model        the network's tensors under PyTorch's names
//   checkpoint   the same; the optimizer's buffers as "optimizer.exp_avg.0.weight"; in the metadata, where the training
//                stands. A trainer made alike and loaded from it goes on with the same bits as one that never stopped
//
// Metadata are the caller's, sorted, plus "tenon.format". The bytes of a file are a function of what it says.
// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/train/tensors.hpp"
#include "tenon/train/trainer.hpp"

namespace tenon {

namespace detail {

// list_tensors makes views for reading, whatever the constness it is handed.
template <class Model>
auto flat(const Model& m) {
  using T = typename Model::T;
  return Flat<T>{const_cast<T*>(m.parameters().data), const_cast<T*>(m.states().data), const_cast<long long*>(m.counters().data())};
}

template <class Model>
std::vector<TensorInfo> model_tensors(const Model& model, std::string_view where) {
  std::vector<TensorInfo> list;
  list_tensors(model.tensors(), flat(model), list);
  for (const plan::Tensor& t : model.tensors()) {
    if (t.kind == plan::Tensor::Kind::counter) continue;
    for (const auto v : values_of(t, flat(model)))  // what read_tensors refuses is not written
      if (!std::isfinite(v)) throw Error("save_model", "expected finite values in tensor \"" + t.name + "\", got NaN or infinity", where);
  }
  return list;
}

inline void set_format(Metadata& metadata) { metadata["tenon.format"] = std::to_string(file_format); }

template <class Optimizer>
std::span<const char* const> state_names(const Optimizer& o) {
  if constexpr (requires { o.used_states(); }) return o.used_states();
  else return {Optimizer::state_names, static_cast<std::size_t>(Optimizer::states)};
}

// f(name, tensor, values) for each tensor of the optimizer's buffers that is in use.
template <class Trainer, class F>
void each_optimizer_tensor(const Trainer& trainer, F f) {
  using T = typename Trainer::T;
  const auto names = state_names(trainer.optimizer());
  for (std::size_t s = 0; s < names.size(); ++s)
    for (const plan::Tensor& t : trainer.model().tensors())
      if (t.kind == plan::Tensor::Kind::parameter) {
        T* const values = const_cast<T*>(trainer.state()[s].data()) + t.offset;
        f("optimizer." + std::string(names[s]) + "." + t.name, t, std::span<T>(values, static_cast<std::size_t>(t.dims.count())));
      }
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
    throw Error("load_checkpoint", "expected a checkpoint, got a file without \"" + std::string(key) + "\" in its metadata: is it a model?",
                file.where());
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size())
    throw Error("load_checkpoint", "expected a number as \"" + std::string(key) + "\" in the metadata, got " + in_quotes(text), file.where());
}

// f(key, member) for all of a Progress: one list for writing and reading.
template <class P, class F>
void each_number(P& p, F f) {
  f("progress.step", p.step);
  f("progress.epoch", p.epoch);
  f("progress.position", p.position);
  f("progress.loss_sum", p.sums.loss_sum);
  f("progress.weight_sum", p.sums.weight_sum);
  f("progress.correct", p.sums.correct);
  f("progress.count", p.sums.count);
}

}  // namespace detail

/// Writes a model; the file is the old or the new one, whole, at any instant. NaN or infinity in it: Error.
template <class Model>
void save_model(const FileLock& lock, const Model& model, Metadata metadata = {}) {
  detail::set_format(metadata);
  save_safetensors(lock, detail::model_tensors(model, lock.path()), metadata);
}
template <class Model>
void save_model(const std::string& path, const Model& model, Metadata metadata = {}) {
  save_model(FileLock(path), model, std::move(metadata));
}

/// Reads a model, of ours or of PyTorch's, with the tensors of this network and no others. All or nothing.
template <class Model>
void load_model(Model& model, const SafeTensors& file) {
  read_tensors(file, model.tensors(), detail::flat(model), true);
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
  detail::set_format(metadata);
  detail::each_number(trainer.progress(), [&](const char* key, auto n) { metadata[key] = detail::number_text(n); });
  std::vector<TensorInfo> list = detail::model_tensors(trainer.model(), lock.path());
  detail::each_optimizer_tensor(trainer, [&](std::string name, const plan::Tensor& t, auto values) {
    list.push_back(tensor_info<typename Trainer::T>(std::move(name), detail::shape_of(t.dims), values));
  });
  save_safetensors(lock, list, metadata);
}
template <class Trainer>
void save_checkpoint(const std::string& path, const Trainer& trainer, Metadata metadata = {}) {
  save_checkpoint(FileLock(path), trainer, std::move(metadata));
}

/// Reads what save_checkpoint wrote into a trainer made alike. All or nothing.
template <class Trainer>
void load_checkpoint(Trainer& trainer, const SafeTensors& file) {
  using T = typename Trainer::T;
  check_format(file);
  Progress progress;
  detail::each_number(progress, [&](const char* key, auto& n) { detail::read_number(file, key, n); });

  // The optimizer's values are taken as they are: an infinite mean square is a legitimate one.
  std::vector<std::vector<T>> values;
  detail::each_optimizer_tensor(trainer, [&](const std::string& name, const plan::Tensor& t, auto) {
    const TensorInfo* const found = file.find(name);
    if (!found) throw Error("load_checkpoint", "expected a tensor \"" + name + "\", got a checkpoint without it: is it of another optimizer?", file.where());
    if (found->shape != detail::shape_of(t.dims))
      throw Error("load_checkpoint", "expected tensor \"" + name + "\" of shape " + plan::spell(t.dims) + ", got " + shape_text(found->shape), file.where());
    values.push_back(read_as<T>(*found, file.where()));
  });
  read_tensors(file, trainer.model().tensors(), detail::flat(trainer.model()), false);

  std::size_t i = 0;
  detail::each_optimizer_tensor(trainer, [&](const std::string&, const plan::Tensor&, auto to) {
    std::copy(values[i].begin(), values[i].end(), to.begin());
    ++i;
  });
  trainer.progress() = progress;
}
/// Returns the metadata.
template <class Trainer>
Metadata load_checkpoint(Trainer& trainer, const std::string& path) {
  const SafeTensors file = SafeTensors::open(path);
  load_checkpoint(trainer, file);
  return file.metadata();
}

}  // namespace tenon
