// Run-time errors: one exception type, whose message is one sentence of a fixed form.
//   [load_idx] expected 60000 labels, got 59999 (data/train-labels-idx1-ubyte)
// The library never prints, exits or aborts. Compile-time errors: core/require.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

class Error : public std::runtime_error {
 public:
  /// `[operation] message (where)`; `where` is a file or another name of the place, and may be empty.
  Error(std::string_view operation, std::string_view message, std::string_view where = {})
      : std::runtime_error(sentence(operation, message, where)) {}

 private:
  static std::string sentence(std::string_view operation, std::string_view message, std::string_view where) {
    std::string s;
    s.reserve(operation.size() + message.size() + where.size() + 6);
    s.append("[").append(operation).append("] ").append(message);
    if (!where.empty()) s.append(" (").append(where).append(")");
    return s;
  }
};

namespace detail {

/// Throws Error unless `holds`, for example: `[Adam] expected beta1 from 0 to below 1, got 1.5`.
inline void check_option(std::string_view of, std::string_view option, std::string_view range, double got, bool holds) {
  if (holds) return;
  char text[32];
  const std::string_view number(text,
                                static_cast<std::size_t>(std::to_chars(text, text + sizeof text, got).ptr - text));
  std::string s("expected ");
  s.append(option).append(" ").append(range).append(", got ").append(number);
  throw Error(of, s);
}

}  // namespace detail
}  // namespace tenon

TENON_IEEE_MATH_END
