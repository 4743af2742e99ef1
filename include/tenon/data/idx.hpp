// IDX, the format of MNIST and similar data sets: big-endian, one byte per value.
//
//   images   0x00000803   count   height   width   pixels (count, height, width)
//   labels   0x00000801   count   labels (count)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "tenon/core/bytes.hpp"
#include "tenon/core/error.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

inline constexpr std::uint32_t idx_images_magic = 0x00000803, idx_labels_magic = 0x00000801;

/// A view of an IDX file's bytes.
struct IdxImages {
  int count = 0, height = 0, width = 0;
  std::span<const std::uint8_t> pixels;  // (count, height, width)
};

namespace detail {

inline std::uint32_t idx_word(Bytes bytes, std::size_t i) {
  std::uint32_t word = 0;
  for (std::size_t k = 4 * i; k < 4 * i + 4; ++k) word = word << 8 | std::to_integer<std::uint32_t>(bytes[k]);
  return word;
}

// Describes a file that is not of the expected kind.
inline std::string idx_kind(Bytes bytes) {
  if (bytes.size() < 4) return "a file of " + std::to_string(bytes.size()) + " bytes";
  const std::uint32_t magic = idx_word(bytes, 0);
  if (magic == idx_images_magic) return "an IDX file of images";
  if (magic == idx_labels_magic) return "an IDX file of labels";
  if (magic >> 16 == 0x1f8b) return "a gzip file; inflate it, or pass tenon::inflate_if_gz (tenon/data/gz.hpp)";
  std::string hex = "magic 0x";
  for (int shift = 28; shift >= 0; shift -= 4) hex += "0123456789abcdef"[magic >> shift & 15];
  return hex;
}

constexpr std::size_t idx_header_bytes(int dimensions) { return 4 + 4 * static_cast<std::size_t>(dimensions); }

// The number of values in an IDX file of `total` bytes. `bytes` are its first bytes, at least the whole header if the file
// has one. Checks the number against the `dimensions` sizes in the header.
inline std::size_t idx_values(Bytes bytes, std::uint64_t total, std::uint32_t magic, int dimensions,
                              std::string_view operation, std::string_view where) {
  const std::string what = magic == idx_images_magic ? "images" : "labels";
  const auto fail = [&](const std::string& expected, const std::string& got) {
    throw Error(operation, "expected " + expected + ", got " + got, where);
  };
  if (bytes.size() < 4 || idx_word(bytes, 0) != magic) fail("an IDX file of " + what, idx_kind(bytes));
  const std::size_t header = idx_header_bytes(dimensions);
  if (bytes.size() < header) fail("a header of " + std::to_string(header) + " bytes", std::to_string(bytes.size()));

  std::uint64_t product = 1;
  std::string shape;
  bool fits = true;
  for (int d = 1; d <= dimensions; ++d) {
    const std::uint32_t n = idx_word(bytes, static_cast<std::size_t>(d));
    shape.append(d > 1 ? " x " : "").append(std::to_string(n));
    fits = fits && n <= static_cast<std::uint32_t>(std::numeric_limits<int>::max()) &&
           !__builtin_mul_overflow(product, std::uint64_t{n}, &product);
  }
  if (!fits) fail("dimensions that fit in memory", shape);
  if (product == 0) fail("at least one of the " + what, shape);
  if (product != total - header)
    fail(std::to_string(product) + " bytes for " + shape + " " + what, std::to_string(total - header));
  return static_cast<std::size_t>(product);
}

// The values of an IDX file of which all bytes are given.
inline std::span<const std::uint8_t> idx_values(Bytes bytes, std::uint32_t magic, int dimensions,
                                                std::string_view operation, std::string_view where) {
  const std::size_t n = idx_values(bytes, bytes.size(), magic, dimensions, operation, where);
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()) + idx_header_bytes(dimensions), n};
}

}  // namespace detail

[[nodiscard]] inline IdxImages parse_idx_images(Bytes bytes, std::string_view where) {
  const auto pixels = detail::idx_values(bytes, idx_images_magic, 3, "load_images", where);
  const auto word = [&](std::size_t i) { return static_cast<int>(detail::idx_word(bytes, i)); };
  return {word(1), word(2), word(3), pixels};
}

[[nodiscard]] inline std::span<const std::uint8_t> parse_idx_labels(Bytes bytes, std::string_view where) {
  return detail::idx_values(bytes, idx_labels_magic, 1, "load_labels", where);
}

}  // namespace tenon

TENON_IEEE_MATH_END
