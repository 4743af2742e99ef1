// Prepares text from a file for an error message.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tenon {

/// True for well-formed UTF-8: no overlong forms, no surrogates, no code points above U+10FFFF.
inline bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) -> std::uint32_t {
      return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0;
    };
    const std::uint32_t lead = byte(0);
    const std::size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : 4;
    if (more == 4) return false;
    std::uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      if (byte(k) >> 6 != 2) return false;
      code = code << 6 | (byte(k) & 0x3fu);
    }
    if (more > 0 && code < (more == 1 ? 0x80u : more == 2 ? 0x800u : 0x10000u)) return false;
    if (code >> 11 == 0x1b || code > 0x10ffff) return false;
    i += more + 1;
  }
  return true;
}

/// The text in quotes, on one line, cut to at most 60 bytes. Control characters are escaped, so that a name from a file
/// cannot control a terminal.
inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t max = 60;
  const bool readable = is_utf8(text), cut = text.size() > max;
  if (cut) {
    std::size_t end = max;
    while (readable && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text = text.substr(0, end);
  }
  std::string s = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 32 || u == 127 || (u > 127 && !readable)) {
      s.append("\\x").append(1, "0123456789abcdef"[u >> 4]).append(1, "0123456789abcdef"[u & 15]);
    } else {
      if (c == '"' || c == '\\') s += '\\';
      s += c;
    }
  }
  return s.append(cut ? "...\"" : "\"");
}

}  // namespace tenon
