// safetensors: named tensors in one file, a format that PyTorch and other programs read and write.
//
//   8 bytes   N, the length of the header
//   N bytes   the header (io/safetensors_header.hpp)
//   rest      the tensors, little-endian, contiguous
//
// The bytes depend only on names, types, shapes, values and metadata. Tensors have the order of the format's reference
// library: the largest alignment first, then by name.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/core/file.hpp"
#include "tenon/core/write_file.hpp"
#include "tenon/io/dtype.hpp"
#include "tenon/io/safetensors_header.hpp"

namespace tenon {

/// A tensor in a file or to be written to a file. It does not own `data`, which may be unaligned.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<std::int64_t> shape;
  Bytes data;

  std::size_t size() const { return data.size() * 8 / dtype_bits(dtype); }  // elements
};

/// A TensorInfo for values in memory, which must outlive it.
template <class T>
TensorInfo tensor_info(std::string name, std::vector<std::int64_t> shape, std::span<const T> values) {
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(values)};
}

/// Copies a tensor to `to` and converts it as described in io/dtype.hpp. Throws Error unless `to` has the tensor's size.
template <class T>
void read_into(const TensorInfo& tensor, std::span<T> to, std::string_view where) {
  if (to.size() != tensor.size())
    throw Error("load_safetensors",
                "expected " + std::to_string(to.size()) + " values in tensor " + in_quotes(tensor.name) +
                    ", got shape " + shape_text(tensor.shape),
                where);
  const std::string place = std::string(where).append(": tensor ").append(in_quotes(tensor.name));
  convert_values<T>(tensor.dtype, tensor.data.data(), to, "load_safetensors", place);
}

template <class T>
[[nodiscard]] std::vector<T> read_as(const TensorInfo& tensor, std::string_view where) {
  std::vector<T> values(tensor.size());
  read_into<T>(tensor, values, where);
  return values;
}

/// A safetensors file. Opening it checks the whole header and the size of the data.
///   const auto file = tenon::SafeTensors::open("model.safetensors");
///   const auto weight = file.read_as<float>("0.weight");
class SafeTensors {
 public:
  [[nodiscard]] static SafeTensors open(const std::string& path) {
    InputFile file(path, false);
    if (file.size() == InputFile::unknown)
      throw Error("load_safetensors", "expected a file, got a device or pipe", path);
    std::byte first[8];
    const std::size_t got = file.read(first);
    // The length is checked against the file before anything of that length is allocated.
    const std::uint64_t n = safetensors_header_size(std::span(first, got), file.size(), path);
    std::string text(static_cast<std::size_t>(n), '\0');
    if (file.read(std::as_writable_bytes(std::span(text))) != n)
      throw Error("load_safetensors", "expected " + std::to_string(n) + " bytes of header, got fewer", path);

    const std::uint64_t data_size = file.size() - 8 - n;
    const SafeTensorsHeader header = parse_safetensors_header(text, data_size, path);
    SafeTensors s;
    s.where_ = path;
    file.read_rest(s.storage_, data_size);
    if (s.storage_.size() != data_size) throw Error("load_safetensors", "expected a file, got one that shrinks", path);
    s.take(header, s.storage_);
    return s;
  }

  /// Parses bytes without copying them. They must outlive the result. `where` is their name in errors.
  [[nodiscard]] static SafeTensors parse(Bytes bytes, std::string_view where) {
    const std::uint64_t n = safetensors_header_size(bytes, bytes.size(), where);
    const Bytes data = bytes.subspan(static_cast<std::size_t>(8 + n));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<std::size_t>(n));
    SafeTensors s;
    s.where_ = where;
    s.take(parse_safetensors_header(text, data.size(), where), data);
    return s;
  }

  SafeTensors(SafeTensors&&) = default;
  SafeTensors& operator=(SafeTensors&&) = default;

  /// The tensors, sorted by name.
  std::span<const TensorInfo> tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }
  /// The name of the file for error messages.
  const std::string& where() const { return where_; }

  /// Null if there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const {
    const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                     [](const TensorInfo& t, std::string_view n) { return t.name < n; });
    return at != tensors_.end() && at->name == name ? &*at : nullptr;
  }
  const TensorInfo& at(std::string_view name) const {
    if (const TensorInfo* t = find(name)) return *t;
    throw Error("load_safetensors", "expected a tensor " + in_quotes(name) + ", got none of that name", where_);
  }
  /// The same file without the tensors for whose names wanted(name) is false.
  template <class Predicate>
  SafeTensors only(Predicate wanted) && {
    std::erase_if(tensors_, [&](const TensorInfo& t) { return !wanted(std::string_view(t.name)); });
    return std::move(*this);
  }
  template <class T>
  std::vector<T> read_as(std::string_view name) const {
    return tenon::read_as<T>(at(name), where_);
  }

 private:
  SafeTensors() = default;

  void take(const SafeTensorsHeader& header, Bytes data) {
    tensors_.reserve(header.tensors.size());
    for (const auto& e : header.tensors)
      tensors_.push_back({e.name, e.dtype, e.shape,
                          data.subspan(static_cast<std::size_t>(e.begin), static_cast<std::size_t>(e.end - e.begin))});
    metadata_ = header.metadata;
  }

  std::string where_;
  std::vector<std::byte> storage_;  // the data of an opened file; moving the vector does not move the data
  std::vector<TensorInfo> tensors_;
  Metadata metadata_;
};

namespace detail {

// The bytes of a file before its tensors, and the data of the tensors in order.
struct SafeTensorsLayout {
  std::string head;  // length and header
  std::vector<Bytes> data;
};

inline SafeTensorsLayout safetensors_layout(std::span<const TensorInfo> tensors, const Metadata& metadata,
                                            std::string_view where) {
  const auto require = [&](bool ok, const std::string& expected, const std::string& got) {
    if (!ok) throw Error("save_safetensors", "expected " + expected + ", got " + got, where);
  };
  std::vector<const TensorInfo*> order;
  for (const TensorInfo& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });

  std::vector<SafeTensorsHeader::Entry> entries;
  std::vector<std::string_view> names;
  SafeTensorsLayout layout;
  std::uint64_t at = 0, bytes = 0;
  for (const TensorInfo* t : order) {
    const std::string name = "tensor " + in_quotes(t->name);
    require(is_utf8(t->name) && t->name != "__metadata__", "a tensor name in UTF-8 other than __metadata__",
            in_quotes(t->name));
    require(t->shape.size() <= SafeTensorsHeader::max_rank, name + " of rank 32 at most",
            std::to_string(t->shape.size()));
    require(tensor_bytes(t->dtype, t->shape, bytes) && bytes == t->data.size(),
            name + " of shape " + shape_text(t->shape) + " and type " + std::string(dtype_name(t->dtype)) +
                " to fill its data",
            std::to_string(t->data.size()) + " bytes");
    entries.push_back({t->name, t->dtype, t->shape, at, at + bytes});
    at += bytes;
    layout.data.push_back(t->data);
    names.push_back(t->name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require(twice == names.end(), "each tensor once", twice == names.end() ? "" : in_quotes(*twice) + " twice");
  for (const auto& [key, value] : metadata)
    require(is_utf8(key) && is_utf8(value), "metadata in UTF-8", in_quotes(key) + ": " + in_quotes(value));

  std::vector<const SafeTensorsHeader::Entry*> pointers;
  pointers.reserve(entries.size());
  for (const auto& e : entries) pointers.push_back(&e);
  const std::string header = write_safetensors_header(pointers, metadata);
  require(header.size() <= SafeTensorsHeader::max_size, "a header of at most 100000000 bytes",
          std::to_string(header.size()));
  const std::uint64_t n = header.size();
  layout.head.assign(reinterpret_cast<const char*>(&n), 8).append(header);
  return layout;
}

}  // namespace detail

/// Writes tensors, which may be in any order, and metadata with write_file_atomically.
inline void save_safetensors(const FileLock& lock, std::span<const TensorInfo> tensors, const Metadata& metadata = {}) {
  const auto layout = detail::safetensors_layout(tensors, metadata, lock.path());
  std::vector<Bytes> pieces = {bytes_of(layout.head)};
  pieces.insert(pieces.end(), layout.data.begin(), layout.data.end());
  write_file_atomically(lock, pieces);
}
inline void save_safetensors(const std::string& path, std::span<const TensorInfo> tensors,
                             const Metadata& metadata = {}) {
  save_safetensors(FileLock(path), tensors, metadata);
}

/// The same in memory.
inline std::vector<std::byte> to_safetensors(std::span<const TensorInfo> tensors, const Metadata& metadata = {}) {
  const auto layout = detail::safetensors_layout(tensors, metadata, "memory");
  const Bytes head = bytes_of(layout.head);
  std::vector<std::byte> bytes(head.begin(), head.end());
  for (const Bytes& d : layout.data) bytes.insert(bytes.end(), d.begin(), d.end());
  return bytes;
}

}  // namespace tenon
