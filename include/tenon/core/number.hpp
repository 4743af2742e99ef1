// Parses numbers from text. The result does not depend on the locale or the standard library.
// SPDX-License-Identifier: MIT
#pragma once

#include <locale.h>  // newlocale, uselocale: POSIX, in no C++ header

#include <bit>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace detail {

/// True if std::from_chars reads all of `text` as a decimal number: -1, 2.5, .5, 5., 1e-3, inf, nan. Spaces, a leading plus
/// sign and hexadecimal digits are not allowed.
inline bool is_decimal(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  const auto digits = [&] {
    std::size_t n = 0;
    while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
    text.remove_prefix(n);
    return n;
  };
  const auto take = [&](std::string_view any) {
    const bool found = !text.empty() && any.find(text[0]) != any.npos;
    if (found) text.remove_prefix(1);
    return found;
  };
  std::size_t count = digits();
  if (take(".")) count += digits();
  if (count > 0) {
    if (take("eE")) {
      take("+-");
      if (digits() == 0) return false;
    }
    return text.empty();
  }
  const auto is_word = [&](std::string_view word) {
    if (text.size() != word.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i)
      if ((text[i] | 32) != word[i]) return false;
    return true;
  };
  return is_word("inf") || is_word("infinity") || is_word("nan");
}

/// Parses a double with strtod and the locale "C". Used with standard libraries without std::from_chars for double, and
/// for numbers that are too small for a normal double, which std::from_chars may reject.
inline std::optional<double> parse_double_by_strtod(std::string_view text) {
  if (!is_decimal(text)) return {};
  static const locale_t c_locale = ::newlocale(LC_ALL_MASK, "C", locale_t{});
  if (!c_locale) throw std::bad_alloc();
  const std::string terminated(text);
  const locale_t before = ::uselocale(c_locale);  // affects only this thread
  const double value = std::strtod(terminated.c_str(), nullptr);
  ::uselocale(before);
  // Test the bits, because with -ffinite-math-only a compiler may assume that no number is infinite.
  const bool infinite = (std::bit_cast<std::uint64_t>(value) & ~(std::uint64_t{1} << 63)) == 0x7ff0000000000000;
  if (infinite && text.find_first_of("0123456789") != text.npos) return {};  // too large
  return value;
}

}  // namespace detail

/// The number that the whole of `text` represents, rounded to nearest. Empty if `text` is not a number or if T cannot hold
/// the number. A number that is too small for a normal double gives zero or a denormal number and is not an error.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  if constexpr (std::same_as<T, double>) {
    // libstdc++ defines this macro if std::from_chars supports double. libc++ supports it from version 20.
#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size() && detail::is_decimal(text)) return value;
    if (error != std::errc::result_out_of_range) return {};
#endif
    return detail::parse_double_by_strtod(text);
  } else {
    static_assert(std::integral<T>, "tenon::parse_number<T>: T is double or an integer");
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return {};
    return value;
  }
}

}  // namespace tenon

TENON_IEEE_MATH_END
