// A network's tensors to and from safetensors, under PyTorch's names and in PyTorch's layouts.
// Reading is all or nothing: every tensor is checked before the first value is changed.
// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tenon/io/safetensors.hpp"
#include "tenon/io/text.hpp"  // in_quotes
#include "tenon/plan/names.hpp"

namespace tenon {

/// The flat memory behind a list of tensors.
template <class T>
struct Flat {
  T* parameters = nullptr;
  T* states = nullptr;
  long long* counters = nullptr;
};

/// The version of what our files say beyond safetensors; "tenon.format" in the metadata. Files made elsewhere have none.
inline constexpr int file_format = 1;

/// Refuses a file of another version.
inline void check_format(const SafeTensors& file) {
  const auto found = file.metadata().find("tenon.format");
  if (found == file.metadata().end() || found->second == std::to_string(file_format)) return;
  const std::string& text = found->second;
  int version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  const bool newer = error == std::errc{} && end == text.data() + text.size() && version > file_format;
  throw Error("load_model",
              "expected a file of format " + std::to_string(file_format) + ", got format " + in_quotes(text) +
                  (newer ? ": it was written by a newer tenon; update this one" : ""),
              file.where());
}

namespace detail {

inline std::vector<std::int64_t> shape_of(Dims d) { return {d.d, d.d + d.rank}; }

template <class T>
std::span<T> values_of(const plan::Tensor& t, Flat<T> flat) {
  T* base = t.kind == plan::Tensor::Kind::parameter ? flat.parameters : flat.states;
  return {base + t.offset, static_cast<std::size_t>(t.dims.count())};
}

// Refuses NaN in a tensor, and infinity unless it may be there.
template <class T>
void require_finite(std::string_view operation, const std::string& name, std::span<const T> values,
                    std::string_view where, bool or_infinite = false) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]) && !(or_infinite && std::isinf(values[i])))
      throw Error(operation,
                  (or_infinite ? "expected numbers in tensor \"" : "expected finite values in tensor \"") + name +
                      (or_infinite ? "\", got NaN at element " : "\", got NaN or infinity at element ") +
                      std::to_string(i),
                  where);
}

}  // namespace detail

/// Appends one entry for each tensor; they point into `flat`.
template <class T>
void list_tensors(const std::vector<plan::Tensor>& tensors, Flat<T> flat, std::vector<TensorInfo>& to) {
  for (const plan::Tensor& t : tensors) {
    if (t.kind == plan::Tensor::Kind::counter) {
      const auto* counter = reinterpret_cast<const std::int64_t*>(flat.counters + t.offset);
      to.push_back(tensor_info<std::int64_t>(t.name, {}, std::span<const std::int64_t>(counter, 1)));
    } else {
      to.push_back(tensor_info<T>(t.name, detail::shape_of(t.dims), std::span<const T>(detail::values_of(t, flat))));
    }
  }
}

/// Reads every tensor of the list from `file`. Absent, misshaped and extra tensors are errors, and so is a NaN or
/// infinity. Not extra are those whose names begin with one of `others`.
template <class T>
void read_tensors(const SafeTensors& file, const std::vector<plan::Tensor>& tensors, Flat<T> flat,
                  std::span<const std::string> others = {}) {
  const char* const operation = "load_model";
  check_format(file);
  for (const plan::Tensor& t : tensors) {
    const TensorInfo* found = file.find(t.name);
    if (!found)
      throw Error(operation,
                  "expected a tensor \"" + t.name + "\" of shape " + plan::spell(t.dims) +
                      ", got a file without it: is it of another model?",
                  file.where());
    if (found->shape != detail::shape_of(t.dims))
      throw Error(
          operation,
          "expected tensor \"" + t.name + "\" of shape " + plan::spell(t.dims) + ", got " + shape_text(found->shape),
          file.where());
  }
  for (const TensorInfo& f : file.tensors()) {
    bool known = false;
    for (const plan::Tensor& t : tensors) known = known || t.name == f.name;
    for (const std::string& other : others) known = known || f.name.starts_with(other);
    if (!known)
      throw Error(operation, "expected the tensors of the model alone, got " + in_quotes(f.name) + " as well",
                  file.where());
  }

  std::vector<std::vector<T>> values;  // first all of them, so that a bad file changes nothing
  std::vector<long long> counts;
  for (const plan::Tensor& t : tensors) {
    const TensorInfo& found = *file.find(t.name);
    if (t.kind == plan::Tensor::Kind::counter) {
      if (found.dtype != Dtype::I64)
        throw Error(operation,
                    "expected tensor \"" + t.name + "\" of type I64, got " + std::string(dtype_name(found.dtype)),
                    file.where());
      counts.push_back(static_cast<long long>(read_as<std::int64_t>(found, file.where())[0]));
      continue;
    }
    values.push_back(read_as<T>(found, file.where()));
    detail::require_finite<T>(operation, t.name, values.back(), file.where());
  }
  std::size_t v = 0, c = 0;
  for (const plan::Tensor& t : tensors) {
    if (t.kind == plan::Tensor::Kind::counter)
      flat.counters[t.offset] = counts[c++];
    else {
      const auto to = detail::values_of(t, flat);
      std::copy(values[v].begin(), values[v].end(), to.begin());
      ++v;
    }
  }
}

}  // namespace tenon
