// Reads the header of a safetensors file, checks it against the data that follow, and writes it.
//
//   header    {"NAME": TENSOR, ..., "__metadata__": {"KEY": "TEXT", ...}} and white space
//   TENSOR    {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, in any order, each once
//
// It accepts everything that the format's reference library accepts: "__metadata__" may be null, and a TENSOR may have
// further fields, which must be JSON and are ignored. A tensor or a key of the metadata that occurs twice throws Error.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/core/error.hpp"
#include "tenon/io/dtype.hpp"
#include "tenon/io/text.hpp"

namespace tenon {

/// Sorted, so that equal metadata give equal bytes.
using Metadata = std::map<std::string, std::string>;

struct SafeTensorsHeader {
  struct Entry {
    std::string name;
    Dtype dtype = Dtype::F32;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0, end = 0;  // bytes from the end of the header
  };
  std::vector<Entry> tensors;  // sorted by name
  Metadata metadata;

  static constexpr std::uint64_t max_size = 100'000'000;  // the limit of the format
  static constexpr std::size_t max_rank = 32;
};

/// "(2, 3)"; "()" for a scalar.
inline std::string shape_text(std::span<const std::int64_t> shape) {
  std::string s = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) s.append(i ? ", " : "").append(std::to_string(shape[i]));
  return s.append(shape.size() == 1 ? ",)" : ")");
}

namespace detail {

/// Computes the bytes of a tensor. Returns false if there are 2^61 or more, or not a whole number of bytes (F4 and F6).
inline bool tensor_bytes(Dtype dtype, std::span<const std::int64_t> shape, std::uint64_t& bytes) {
  std::uint64_t bits = dtype_bits(dtype);
  for (const std::int64_t d : shape)
    if (d < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(d), &bits)) return false;
  bytes = bits / 8;
  return bits % 8 == 0;
}

class SafeTensorsHeaderParser {
 public:
  SafeTensorsHeaderParser(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  SafeTensorsHeader parse() {
    SafeTensorsHeader header;
    bool has_metadata = false;
    skip_space();
    object([&](std::string&& key) {
      if (key != "__metadata__") return header.tensors.push_back(tensor(std::move(key)));
      if (has_metadata) fail("\"__metadata__\" once", "it twice");
      has_metadata = true;
      if (word("null")) return;
      object([&](std::string&& name) {
        std::string value = string();
        if (!header.metadata.emplace(name, std::move(value)).second)
          fail("each key of the metadata once", in_quotes(name) + " twice");
      });
    });
    skip_space();
    if (at_ < text_.size()) fail("the end of the header", here());

    const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
    std::sort(header.tensors.begin(), header.tensors.end(), by_name);
    const auto same_name = [](const auto& a, const auto& b) { return a.name == b.name; };
    const auto twice = std::adjacent_find(header.tensors.begin(), header.tensors.end(), same_name);
    if (twice != header.tensors.end()) fail("each tensor once", in_quotes(twice->name) + " twice");
    return header;
  }

 private:
  SafeTensorsHeader::Entry tensor(std::string&& name) {
    SafeTensorsHeader::Entry e;
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool& has, const std::string& key) {
      if (has) fail("each field once", in_quotes(key) + " twice in tensor " + in_quotes(name));
      has = true;
    };
    object([&](std::string&& key) {
      if (key == "dtype") {
        once(has_dtype, key);
        const std::string type = string();
        const auto known = dtype_named(type);
        if (!known) fail("a dtype that tenon reads (F32, F64, F16, BF16, I64, ...)", in_quotes(type) + of(name));
        e.dtype = *known;
      } else if (key == "shape") {
        once(has_shape, key);
        array([&] {
          if (e.shape.size() == SafeTensorsHeader::max_rank)
            fail("at most " + std::to_string(SafeTensorsHeader::max_rank) + " dimensions", "more" + of(name));
          e.shape.push_back(number());
        });
      } else if (key == "data_offsets") {
        once(has_offsets, key);
        int n = 0;
        array([&] {
          if (n == 2) fail("two data_offsets", "more" + of(name));
          (n++ == 0 ? e.begin : e.end) = static_cast<std::uint64_t>(number());
        });
        if (n != 2) fail("two data_offsets", std::to_string(n) + of(name));
      } else {
        skip_value();  // a field of a later version, or of another program
      }
    });
    if (!has_dtype || !has_shape || !has_offsets)
      fail("dtype, shape and data_offsets", std::string("no ") +
                                                (!has_dtype   ? "dtype"
                                                 : !has_shape ? "shape"
                                                              : "data_offsets") +
                                                of(name));
    e.name = std::move(name);
    return e;
  }

  // Skips any JSON value. The depth is limited as in the format's reference library, so that no file exhausts the stack.
  void skip_value(int depth = 3) {
    if (depth > 127 && (peek('{') || peek('['))) fail("at most 127 levels of nesting", "more");
    if (peek('{')) return object([&](std::string&&) { skip_value(depth + 1); });
    if (peek('[')) return array([&] { skip_value(depth + 1); });
    if (peek('"')) return static_cast<void>(string());
    if (word("null") || word("true") || word("false")) return;
    if (peek('-')) ++at_;
    const std::size_t start = at_;
    if (digits() == 0 || (text_[start] == '0' && at_ > start + 1)) {
      at_ = start;
      fail("a JSON value", here());
    }
    if (peek('.')) {
      ++at_;
      if (digits() == 0) fail("a digit", here());
    }
    if (peek('e') || peek('E')) {
      ++at_;
      if (peek('+') || peek('-')) ++at_;
      if (digits() == 0) fail("a digit", here());
    }
  }
  std::size_t digits() {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ - start;
  }
  bool word(std::string_view w) {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }

  template <class Member>
  void object(Member member) {
    take('{');
    list('}', [&] {
      std::string key = string();
      skip_space();
      take(':');
      skip_space();
      member(std::move(key));
    });
  }
  template <class Element>
  void array(Element element) {
    take('[');
    list(']', element);
  }
  template <class Element>
  void list(char close, Element element) {
    skip_space();
    if (peek(close)) return take(close);
    for (;; take(',')) {
      skip_space();
      element();
      skip_space();
      if (peek(close)) return take(close);
    }
  }

  std::int64_t number() {
    const std::size_t start = at_;
    std::int64_t n = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text_[at_] - '0', &n))
        fail("a number below 2^63", "a larger one");
    if (at_ == start || (at_ > start + 1 && text_[start] == '0')) {
      at_ = start;
      fail("a whole number", here());
    }
    return n;
  }

  std::string string() {
    const std::size_t start = at_;
    take('"');
    std::string s;
    while (!peek('"')) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      if (static_cast<unsigned char>(c) < 32) fail("the rest of a string", here());
      ++at_;
      if (c == '\\')
        escape(s);
      else
        s += c;
    }
    take('"');
    if (!is_utf8(s)) {
      at_ = start;
      fail("a string in UTF-8", in_quotes(s));
    }
    return s;
  }

  void escape(std::string& s) {
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c != 'u') {
      const std::size_t i = from.find(c);
      if (c == '\0' || i == from.npos) fail("an escape sequence", here());
      ++at_;
      s += to[i];
      return;
    }
    std::uint32_t code = hex4();
    if (code >> 10 == 0x36) {  // the first half of a pair
      const bool pair = at_ < text_.size() && text_[at_] == '\\';
      at_ += pair;
      const std::uint32_t low = pair && peek('u') ? hex4() : 0;
      if (low >> 10 != 0x37) fail("the second half of a surrogate pair", here());
      code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
    } else if (code >> 10 == 0x37) {
      fail("the first half of a surrogate pair", "the second");
    }
    const auto put = [&s](std::uint32_t byte) { s += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
      put(0xc0 | code >> 6);
    } else {
      if (code < 0x10000) {
        put(0xe0 | code >> 12);
      } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
      }
      put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
  }

  std::uint32_t hex4() {  // at the u of \uXXXX
    std::uint32_t code = 0;
    ++at_;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("four hexadecimal digits", here());
      code = code << 4 | static_cast<std::uint32_t>(digit);
    }
    return code;
  }

  bool peek(char c) const { return at_ < text_.size() && text_[at_] == c; }
  void take(char c) {
    if (!peek(c)) fail(std::string("'") + c + "'", here());
    ++at_;
  }
  void skip_space() {
    while (peek(' ') || peek('\n') || peek('\r') || peek('\t')) ++at_;
  }

  std::string here() const { return at_ < text_.size() ? in_quotes(text_.substr(at_, 1)) : "its end"; }
  static std::string of(const std::string& name) { return " in tensor " + in_quotes(name); }
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    throw Error("load_safetensors",
                "expected " + expected + ", got " + got + " at byte " + std::to_string(at_) + " of the header", where_);
  }

  std::string_view text_, where_;
  std::size_t at_ = 0;
};

// Throws Error unless the length of every tensor matches its shape, and the tensors fill 0 to `data_size` without overlap
// or gap.
inline void check_safetensors_layout(const SafeTensorsHeader& header, std::uint64_t data_size, std::string_view where) {
  const auto fail = [&](const std::string& expected, const std::string& got) {
    throw Error("load_safetensors", "expected " + expected + ", got " + got, where);
  };
  std::vector<const SafeTensorsHeader::Entry*> order;
  order.reserve(header.tensors.size());
  for (const auto& e : header.tensors) {
    const std::string name = "tensor " + in_quotes(e.name);
    std::uint64_t bytes = 0;
    if (!tensor_bytes(e.dtype, e.shape, bytes))
      fail(name + (dtype_bits(e.dtype) < 8 ? " to have a whole number of bytes, fewer than 2^61"
                                           : " to have fewer than 2^61 bytes"),
           "shape " + shape_text(e.shape));
    if (e.begin > e.end || e.end - e.begin != bytes)
      fail(name + " of shape " + shape_text(e.shape) + " to take " + std::to_string(bytes) + " bytes",
           "data_offsets " + std::to_string(e.begin) + " to " + std::to_string(e.end));
    if (e.end > data_size)
      fail(name + " to end within the " + std::to_string(data_size) + " bytes of data",
           "data_offsets " + std::to_string(e.begin) + " to " + std::to_string(e.end) + "; is the file cut short?");
    order.push_back(&e);
  }
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->begin != b->begin ? a->begin < b->begin : a->end < b->end; });
  std::uint64_t at = 0;
  for (const auto* e : order) {
    if (e->begin != at)
      fail("tensor " + in_quotes(e->name) + " to begin at byte " + std::to_string(at) + " of the data",
           std::to_string(e->begin) + (e->begin < at ? ": it overlaps another" : ": nothing lies between"));
    at = e->end;
  }
  if (at != data_size)
    fail(std::to_string(at) + " bytes of data", std::to_string(data_size) + ": no tensor has the last of them");
}

}  // namespace detail

/// Reads a header's text and checks it against the number of bytes that follow it.
inline SafeTensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_size,
                                                  std::string_view where) {
  SafeTensorsHeader header = detail::SafeTensorsHeaderParser(text, where).parse();
  detail::check_safetensors_layout(header, data_size, where);
  return header;
}

/// The length of the header from a file's first eight bytes. Throws Error if it is impossible in a file of that size.
inline std::uint64_t safetensors_header_size(std::span<const std::byte> first, std::uint64_t file_size,
                                             std::string_view where) {
  if (first.size() < 8 || file_size < 8)
    throw Error("load_safetensors",
                "expected a safetensors file, got one of " + std::to_string(first.size()) + " bytes", where);
  std::uint64_t n;
  std::memcpy(&n, first.data(), 8);
  if (n < 2 || n > SafeTensorsHeader::max_size)
    throw Error("load_safetensors",
                "expected a header of 2 to " + std::to_string(SafeTensorsHeader::max_size) +
                    " bytes, got a length of " + std::to_string(n) + "; is this a safetensors file?",
                where);
  if (n > file_size - 8)
    throw Error("load_safetensors",
                "expected " + std::to_string(n) + " bytes of header, got a file that ends after " +
                    std::to_string(file_size - 8) + " of them",
                where);
  return n;
}

/// The text of a header whose offsets are set, with the tensors in the given order, padded with spaces to a multiple of 8
/// bytes.
inline std::string write_safetensors_header(std::span<const SafeTensorsHeader::Entry* const> tensors,
                                            const Metadata& metadata) {
  std::string s;
  const auto string = [&s](std::string_view text) {
    constexpr std::string_view from = "\"\\\b\f\n\r\t", to = "\"\\bfnrt";
    s += '"';
    for (const char c : text) {
      const std::size_t i = from.find(c);
      if (i != from.npos)
        s.append(1, '\\').append(1, to[i]);
      else if (static_cast<unsigned char>(c) < 32)
        s.append("\\u00").append(1, c < 16 ? '0' : '1').append(1, "0123456789abcdef"[c & 15]);
      else
        s += c;
    }
    s += '"';
  };
  const auto key = [&](std::string_view text) {
    if (s.back() != '{') s += ',';
    string(text);
    s += ':';
  };
  s += '{';
  if (!metadata.empty()) {
    key("__metadata__");
    s += '{';
    for (const auto& [name, value] : metadata) {
      key(name);
      string(value);
    }
    s += '}';
  }
  for (const auto* e : tensors) {
    key(e->name);
    s.append("{\"dtype\":\"").append(dtype_name(e->dtype)).append("\",\"shape\":[");
    for (std::size_t i = 0; i < e->shape.size(); ++i) s.append(i ? "," : "").append(std::to_string(e->shape[i]));
    s.append("],\"data_offsets\":[")
        .append(std::to_string(e->begin))
        .append(",")
        .append(std::to_string(e->end))
        .append("]}");
  }
  s += '}';
  s.append((8 - s.size() % 8) % 8, ' ');
  return s;
}

}  // namespace tenon
