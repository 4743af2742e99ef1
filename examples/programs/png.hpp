// Encodes 8-bit gray or RGB pixels as a PNG file in memory, and bytes as a data: URI.
// Source: ISO/IEC 15948 (PNG), RFC 4648 (base64).
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/core/error.hpp>

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace program {

namespace detail {

inline void append_big_endian(std::string& to, std::uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(v >> shift & 0xff);
}

inline void append_png_chunk(std::string& to, std::string_view type, std::string_view data) {
  append_big_endian(to, static_cast<std::uint32_t>(data.size()));
  const std::size_t start = to.size();
  to.append(type).append(data);
  const auto* const bytes = reinterpret_cast<const Bytef*>(to.data() + start);  // the checksum includes the type
  append_big_endian(to, static_cast<std::uint32_t>(::crc32(0, bytes, static_cast<uInt>(to.size() - start))));
}

}  // namespace detail

/// `pixels` is planar, (channels, height, width); 1 channel is gray, 3 channels are red, green, blue.
inline std::string png(std::span<const std::uint8_t> pixels, int width, int height, int channels) {
  const std::size_t w = static_cast<std::size_t>(width), h = static_cast<std::size_t>(height),
                    c = static_cast<std::size_t>(channels);
  if (width < 1 || height < 1 || (channels != 1 && channels != 3) || pixels.size() != w * h * c)
    throw tenon::Error("png", "expected " + std::to_string(w * h * c) + " values in 1 or 3 channels, got " +
                                  std::to_string(pixels.size()));
  std::string raw;
  for (std::size_t y = 0; y < h; ++y) {
    raw += '\0';  // filter type 0: unfiltered
    for (std::size_t x = 0; x < w; ++x)
      for (std::size_t k = 0; k < c; ++k) raw += static_cast<char>(pixels[(k * h + y) * w + x]);
  }
  uLongf packed = ::compressBound(static_cast<uLong>(raw.size()));
  std::string data(packed, '\0');
  if (::compress2(reinterpret_cast<Bytef*>(data.data()), &packed, reinterpret_cast<const Bytef*>(raw.data()),
                  static_cast<uLong>(raw.size()), Z_BEST_COMPRESSION) != Z_OK)
    throw tenon::Error("png", "expected zlib to compress a picture, got an error");
  data.resize(packed);

  std::string header;
  detail::append_big_endian(header, static_cast<std::uint32_t>(width));
  detail::append_big_endian(header, static_cast<std::uint32_t>(height));
  header += '\x08';  // bits per value
  header += channels == 1 ? '\0' : '\x02';
  header.append(3, '\0');  // deflate, adaptive filters, not interlaced
  std::string file = "\x89PNG\r\n\x1a\n";
  detail::append_png_chunk(file, "IHDR", header);
  detail::append_png_chunk(file, "IDAT", data);
  detail::append_png_chunk(file, "IEND", "");
  return file;
}

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string s;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t v = 0;  // three bytes become four digits
    for (std::size_t k = 0; k < 3; ++k)
      v = v << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) s += i + k <= bytes.size() ? digits[v >> (18 - 6 * k) & 63] : '=';
  }
  return s;
}

inline std::string data_uri(std::string_view type, std::string_view bytes) {
  return "data:" + std::string(type) + ";base64," + base64(bytes);
}

}  // namespace program
