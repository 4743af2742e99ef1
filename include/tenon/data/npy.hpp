// NumPy's .npy, versions 1 and 2: one array, little-endian, in C order.
//
//   6 bytes     "\x93NUMPY"
//   2 bytes     version
//   2 or 4      N, the length of the header (version 1 or 2)
//   N bytes     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and spaces and a line feed
//   rest        the values
//
// Types: f4, f8, u1, i4, i8. Reading converts types as described in io/dtype.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/core/file.hpp"
#include "tenon/core/write_file.hpp"
#include "tenon/io/dtype.hpp"
#include "tenon/io/safetensors_header.hpp"  // shape_text, tensor_bytes
#include "tenon/io/text.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <class T>
struct NpyArray {
  std::vector<std::int64_t> shape;
  std::vector<T> values;
};

namespace detail {

struct NpyType {
  std::string_view descr;
  Dtype dtype;
};
inline constexpr NpyType npy_types[5] = {
    {"<f4", Dtype::F32}, {"<f8", Dtype::F64}, {"|u1", Dtype::U8}, {"<i4", Dtype::I32}, {"<i8", Dtype::I64}};

// Parses the header's dict literal: three keys, each once, in any order.
class NpyHeader {
 public:
  NpyHeader(std::string_view text, std::string_view where) : text_(text), where_(where) {
    std::optional<bool> fortran;
    std::string descr;
    bool has_shape = false;
    take('{');
    while (!peek('}')) {
      const std::string key = string();
      take(':');
      if (key == "descr" && descr.empty())
        descr = string();
      else if (key == "fortran_order" && !fortran)
        fortran = boolean();
      else if (key == "shape" && !has_shape)
        has_shape = tuple();
      else
        fail("'descr', 'fortran_order' and 'shape', each once", in_quotes(key));
      if (!peek('}')) take(',');
    }
    take('}');
    skip_space();
    if (at_ < text_.size()) fail("the end of the header", here());
    if (descr.empty() || !fortran || !has_shape) fail("'descr', 'fortran_order' and 'shape'", "fewer");
    if (*fortran && shape.size() > 1)
      fail("an array in C order", "one in Fortran order; save numpy.ascontiguousarray(a)");
    for (int i = 0; i < 5; ++i)
      if (descr == npy_types[i].descr) {
        dtype = npy_types[i].dtype;
        return;
      }
    if (descr[0] == '>') fail("little-endian values", in_quotes(descr) + "; save a.astype('<" + descr.substr(1) + "')");
    fail("a type among f4, f8, u1, i4, i8", in_quotes(descr));
  }

  Dtype dtype = Dtype::F32;
  std::vector<std::int64_t> shape;

 private:
  std::string string() {
    skip_space();
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail("a string", here());
    const std::size_t end = text_.find(text_[at_], at_ + 1);
    if (end == text_.npos) fail("the end of a string", "none");
    const std::string s(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"})
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return word == "True";
      }
    fail("True or False", here());
  }
  bool tuple() {
    take('(');
    for (bool comma = true; !peek(')'); comma = peek(',') && (take(','), true)) {
      std::int64_t n = 0;
      const std::size_t start = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text_[at_] - '0', &n))
          fail("a number below 2^63", "a larger one");
      if (at_ == start || !comma || shape.size() == 32) fail("a tuple of at most 32 whole numbers", here());
      shape.push_back(n);
    }
    take(')');
    return true;
  }
  bool peek(char c) {
    skip_space();
    return at_ < text_.size() && text_[at_] == c;
  }
  void take(char c) {
    if (!peek(c)) fail(std::string(1, c), here());
    ++at_;
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  std::string here() const { return at_ < text_.size() ? in_quotes(text_.substr(at_, 1)) : "its end"; }
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    throw Error("load_npy",
                "expected " + expected + ", got " + got + " at byte " + std::to_string(at_) + " of the header", where_);
  }

  std::string_view text_, where_;
  std::size_t at_ = 0;
};

}  // namespace detail

template <class T>
[[nodiscard]] NpyArray<T> parse_npy(Bytes bytes, std::string_view where) {
  const auto fail = [&](const std::string& expected, const std::string& got) {
    throw Error("load_npy", "expected " + expected + ", got " + got, where);
  };
  if (bytes.size() < 12 || std::memcmp(bytes.data(), "\x93NUMPY", 6) != 0)
    fail("a .npy file", "one that does not begin as such");
  const int version = std::to_integer<int>(bytes[6]);
  if (version != 1 && version != 2) fail("version 1 or 2", "version " + std::to_string(version));
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, version == 1 ? 2 : 4);
  bytes = bytes.subspan(version == 1 ? 10 : 12);
  if (length > bytes.size()) fail(std::to_string(length) + " bytes of header", std::to_string(bytes.size()));
  const detail::NpyHeader header({reinterpret_cast<const char*>(bytes.data()), length}, where);
  bytes = bytes.subspan(length);

  std::uint64_t size = 0;
  if (!detail::tensor_bytes(header.dtype, header.shape, size))
    fail("fewer than 2^61 bytes", "shape " + shape_text(header.shape));
  if (size != bytes.size())
    fail(std::to_string(size) + " bytes of values for shape " + shape_text(header.shape), std::to_string(bytes.size()));
  NpyArray<T> array{header.shape, std::vector<T>(static_cast<std::size_t>(size / dtype_size(header.dtype)))};
  convert_values<T>(header.dtype, bytes.data(), array.values, "load_npy", where);
  return array;
}

/// numpy.load(path), converted to T: a floating-point array to float or double, an integer array to integers.
template <class T>
[[nodiscard]] NpyArray<T> load_npy(const std::string& path) {
  return parse_npy<T>(read_file(path), path);
}

/// numpy.save(path, values.reshape(shape)). The bytes are the same as NumPy's.
template <class T>
void save_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const T> values) {
  std::string_view descr;
  for (int i = 0; i < 5; ++i)
    if (detail::npy_types[i].dtype == dtype_of<T>()) descr = detail::npy_types[i].descr;
  std::uint64_t size = 0;
  if (descr.empty())
    throw Error("save_npy", "expected a type among f4, f8, u1, i4, i8, got " + std::string(dtype_name(dtype_of<T>())),
                path);
  if (!detail::tensor_bytes(dtype_of<T>(), shape, size) || size != values.size_bytes() || shape.size() > 32)
    throw Error("save_npy",
                "expected shape " + shape_text(shape) + " to hold " + std::to_string(values.size()) +
                    " values, got another number",
                path);

  std::string header =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  // NumPy reserves space so that the first dimension can grow to 21 digits in place, and pads the header to 64 bytes.
  if (!shape.empty()) header.append(21 - std::min<std::size_t>(21, std::to_string(shape[0]).size()), ' ');
  header.append(63 - (10 + header.size()) % 64, ' ').append("\n");
  const std::uint16_t length = static_cast<std::uint16_t>(header.size());
  std::string head("\x93NUMPY\x01\x00", 8);
  head.append(reinterpret_cast<const char*>(&length), 2).append(header);
  const Bytes pieces[] = {bytes_of(head), std::as_bytes(values)};
  write_file_atomically(path, pieces);
}

}  // namespace tenon

TENON_IEEE_MATH_END
