// Reads and writes a network's tensors as safetensors, with PyTorch's names and layouts.
// Reading is all or nothing: every tensor is checked before the first value is changed.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/core/math.hpp"
#include "tenon/core/number.hpp"
#include "tenon/io/safetensors.hpp"
#include "tenon/io/text.hpp"  // in_quotes
#include "tenon/plan/names.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace plan {

/// The flat memory that holds a list of tensors.
template <class T>
struct Flat {
  T* parameters = nullptr;
  T* states = nullptr;
  long long* counters = nullptr;
};

}  // namespace plan

/// The version of tenon's additions to safetensors, "tenon.format" in the metadata. Files of other programs have none.
inline constexpr int file_format = 1;

/// Throws Error for a file of another version.
inline void check_format(const SafeTensors& file) {
  const auto found = file.metadata().find("tenon.format");
  if (found == file.metadata().end() || found->second == std::to_string(file_format)) return;
  const std::string& text = found->second;
  const bool newer = parse_number<int>(text).value_or(0) > file_format;
  throw Error("load_model",
              "expected a file of format " + std::to_string(file_format) + ", got format " + in_quotes(text) +
                  (newer ? ": it was written by a newer tenon; update this one" : ""),
              file.where());
}

namespace detail {

inline std::vector<std::int64_t> shape_of(Dims d) { return {d.d, d.d + d.rank}; }

template <class T>
std::span<T> values_of(const plan::NamedTensor& t, plan::Flat<T> flat) {
  T* base = t.kind == plan::NamedTensor::Kind::parameter ? flat.parameters : flat.states;
  return {base + t.offset, static_cast<std::size_t>(t.dims.count())};
}

// Throws Error for NaN in a tensor, and for infinity unless `or_infinite`.
template <class T>
void require_finite(std::string_view operation, const std::string& name, std::span<const T> values,
                    std::string_view where, bool or_infinite = false) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (or_infinite ? math::is_nan(values[i]) : !math::is_finite(values[i]))
      throw Error(operation,
                  (or_infinite ? "expected numbers in tensor \"" : "expected finite values in tensor \"") + name +
                      (or_infinite ? "\", got NaN at element " : "\", got NaN or infinity at element ") +
                      std::to_string(i),
                  where);
}

}  // namespace detail

/// The prefix of the names of the tensors that a checkpoint holds in addition to the model's.
inline const std::string optimizer_prefix = "optimizer.";

/// Finds the tensors of a file by their names in a network. PyTorch's wrappers (DataParallel, torch.compile) add the
/// prefixes `module.` and `_orig_mod.`, once or several times. Prefixes that all names of a file share are removed.
/// `_orig_mod.` is also removed at other positions: torch.compile of one layer puts it inside the names of that layer.
class TensorLookup {
 public:
  explicit TensorLookup(const SafeTensors& file) : file_(file) {
    const auto all_begin_with = [&](const std::string& prefix) {
      const auto tensors = file.tensors();
      return !tensors.empty() && std::all_of(tensors.begin(), tensors.end(),
                                             [&](const TensorInfo& t) { return t.name.starts_with(prefix); });
    };
    for (bool more = true; more;) {
      more = false;
      for (const char* wrapper : {"module.", "_orig_mod."})
        if (all_begin_with(prefix_ + wrapper)) {
          prefix_ += wrapper;
          more = true;
        }
    }
  }

  /// Null if there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const {
    if (const TensorInfo* found = file_.find(prefix_ + std::string(name))) return found;
    for (const TensorInfo& t : file_.tensors())
      if (this->name(t) == name) return &t;
    return nullptr;
  }
  /// The name that a tensor of the file has in a network.
  std::string name(const TensorInfo& t) const {
    static constexpr std::string_view wrapper = "_orig_mod.";
    std::string name = t.name.substr(prefix_.size());
    for (std::size_t at = 0; (at = name.find(wrapper, at)) != std::string::npos;)
      if (at == 0 || name[at - 1] == '.')
        name.erase(at, wrapper.size());
      else
        at += wrapper.size();
    return name;
  }

 private:
  const SafeTensors& file_;
  std::string prefix_;
};

/// Selects the tensors of Net in a file that holds more, to load a network that is a part of the one in the file:
///   Weights<Front>::load(part_of<Front>(SafeTensors::open("whole.safetensors")))
template <class Net>
SafeTensors part_of(SafeTensors file) {
  std::vector<std::string> names;
  const TensorLookup named(file);
  for (const plan::NamedTensor& t : plan::tensors<Net>())
    if (const TensorInfo* found = named.find(t.name)) names.push_back(found->name);
  return std::move(file).only(
      [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); });
}

namespace detail {

/// The count in a BatchNorm's num_batches_tracked, which other programs save as any numeric type. Empty if it is infinite
/// or NaN: F16 cannot hold a count above 65504.
inline std::optional<long long> read_counter(const TensorInfo& t, std::string_view where) {
  const auto refuse = [&](const std::string& expected, const std::string& got) {
    throw Error("load_model", "expected tensor \"" + t.name + "\" " + expected + ", got " + got, where);
  };
  if (t.dtype == Dtype::BOOL || (!is_integer(t.dtype) && !is_floating(t.dtype)))
    refuse("to be a number", std::string(dtype_name(t.dtype)));
  if (is_integer(t.dtype)) return static_cast<long long>(read_as<std::int64_t>(t, where)[0]);
  const double value = read_as<double>(t, where)[0];
  if ((std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ff) == 0x7ff) return {};
  if (!(value >= -0x1p63 && value < 0x1p63)) refuse("to be a count below 2^63", std::to_string(value));
  return static_cast<long long>(value);
}

}  // namespace detail

/// Appends one entry for each tensor. The entries point into `flat`.
template <class T>
void list_tensors(const std::vector<plan::NamedTensor>& tensors, plan::Flat<T> flat, std::vector<TensorInfo>& to) {
  for (const plan::NamedTensor& t : tensors) {
    if (t.kind == plan::NamedTensor::Kind::counter) {
      const auto* counter = reinterpret_cast<const std::int64_t*>(flat.counters + t.offset);
      to.push_back(tensor_info<std::int64_t>(t.name, {}, std::span<const std::int64_t>(counter, 1)));
    } else {
      to.push_back(tensor_info<T>(t.name, detail::shape_of(t.dims), std::span<const T>(detail::values_of(t, flat))));
    }
  }
}

/// Reads every tensor of the list from `file`. Throws Error for missing tensors, wrong shapes, extra tensors, NaN and
/// infinity. Tensors whose names begin with one of `others` do not count as extra. As in PyTorch, a counter
/// (num_batches_tracked) may be missing, and then keeps its value. It may have any numeric type, and shape () or (1,).
template <class T>
void read_tensors(const SafeTensors& file, const std::vector<plan::NamedTensor>& tensors, plan::Flat<T> flat,
                  std::span<const std::string> others = {}) {
  const char* const operation = "load_model";
  check_format(file);
  const TensorLookup named(file);
  for (const plan::NamedTensor& t : tensors) {
    const TensorInfo* found = named.find(t.name);
    const bool counter = t.kind == plan::NamedTensor::Kind::counter;
    if (!found && counter) continue;
    if (!found) {
      std::string got = "a file without it: is it of another model?";
      for (const TensorInfo& f : file.tensors())
        if (f.name.ends_with("." + t.name) && !f.name.starts_with(optimizer_prefix) &&
            !(f.name[0] >= '0' && f.name[0] <= '9')) {
          got = "a file with " + in_quotes(f.name) + ": rename its tensors, if they are of this model";
          break;
        }
      throw Error(operation, "expected a tensor \"" + t.name + "\" of shape " + plan::spell(t.dims) + ", got " + got,
                  file.where());
    }
    if (counter && found->shape == std::vector<std::int64_t>{1}) continue;
    if (found->shape != detail::shape_of(t.dims))
      throw Error(
          operation,
          "expected tensor \"" + t.name + "\" of shape " + plan::spell(t.dims) + ", got " + shape_text(found->shape),
          file.where());
  }
  std::vector<std::string> extra;
  for (const TensorInfo& f : file.tensors()) {
    const std::string name = named.name(f);
    bool known = false;
    for (const plan::NamedTensor& t : tensors) known = known || t.name == name;
    for (const std::string& other : others) known = known || name.starts_with(other);
    if (!known) extra.push_back(in_quotes(f.name));
  }
  if (!extra.empty()) {
    constexpr std::size_t max_named = 4;
    std::string got;
    for (std::size_t i = 0; i < extra.size() && i < max_named; ++i) got.append(i ? ", " : "").append(extra[i]);
    if (extra.size() > max_named) got.append(" and ").append(std::to_string(extra.size() - max_named)).append(" more");
    throw Error(operation, "expected the tensors of the model alone, got " + got + " as well", file.where());
  }

  std::vector<std::vector<T>> values;  // reads all values first, so that a bad file changes nothing
  std::vector<std::optional<long long>> counts;
  for (const plan::NamedTensor& t : tensors) {
    const TensorInfo* const found = named.find(t.name);
    if (t.kind == plan::NamedTensor::Kind::counter) {
      counts.push_back(found ? detail::read_counter(*found, file.where()) : std::nullopt);
      continue;
    }
    values.push_back(read_as<T>(*found, file.where()));
    detail::require_finite<T>(operation, t.name, values.back(), file.where());
  }
  std::size_t v = 0, c = 0;
  for (const plan::NamedTensor& t : tensors) {
    if (t.kind == plan::NamedTensor::Kind::counter)
      flat.counters[t.offset] = counts[c].value_or(flat.counters[t.offset]), ++c;
    else {
      const auto to = detail::values_of(t, flat);
      std::copy(values[v].begin(), values[v].end(), to.begin());
      ++v;
    }
  }
}

}  // namespace tenon

TENON_IEEE_MATH_END
