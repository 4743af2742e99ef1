// Tables of numbers as text: one row per line, fields with a separator between them, optionally names in the first line.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tenon/core/file.hpp"
#include "tenon/core/number.hpp"
#include "tenon/io/text.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct CsvTable {
  std::vector<std::string> header;  // empty, or a name for each column
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;  // (rows, columns)

  std::span<const float> row(std::int64_t r) const {
    return {values.data() + r * columns, static_cast<std::size_t>(columns)};
  }

  /// Columns first to last - 1 in row-major order: (rows, last - first).
  ///   Samples data(table.part(0, 4), table.part<int>(4, 5), table.rows);
  /// If T is an integer type and a number is not whole or does not fit, throws Error with its row and column.
  template <class T = float>
  std::vector<T> part(std::int64_t first, std::int64_t last) const {
    if (first < 0 || last > columns || first > last)
      throw Error("CsvTable", "expected columns from 0 to " + std::to_string(columns) + ", got " +
                                  std::to_string(first) + " to " + std::to_string(last));
    std::vector<T> out;
    out.reserve(static_cast<std::size_t>(rows * (last - first)));
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = first; c < last; ++c) {
        const float v = row(r)[static_cast<std::size_t>(c)];
        if constexpr (std::is_integral_v<T>) {
          // The largest T may not be representable as float, but the number after it is.
          const bool fits = v >= static_cast<float>(std::numeric_limits<T>::min()) &&
                            v < std::ldexp(1.0f, std::numeric_limits<T>::digits) && v == std::trunc(v);
          if (!fits)
            throw Error("CsvTable", "expected whole numbers that fit, got " + std::to_string(v) + " in row " +
                                        std::to_string(r) + ", column " + std::to_string(c) + ", counted from 0");
        }
        out.push_back(static_cast<T>(v));
      }
    return out;
  }
};

/// Whether the first line holds the columns' names. `automatic`: it does if more of its fields are names than values. A
/// name is a word. A value is a number, including one that is too large for a float, or a mark for a special or missing
/// value (NaN, inf, NA, null, True, ?, -). An empty field, or one like 1x1 or 5,1, counts as neither. If the first line is
/// not a header, it is the first row.
enum class CsvHeader { automatic, present, absent };

namespace detail {

inline std::string_view csv_trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

/// Parses a finite number and rounds it to float. A leading plus sign is allowed. Returns false if there is none.
inline bool csv_number(std::string_view s, float& value) {
  if (s.size() > 1 && s[0] == '+' && s[1] != '-') s.remove_prefix(1);
  const auto number = parse_number<double>(s);
  if (!number) return false;
  value = static_cast<float>(*number);
  // Test the bits, because with -ffinite-math-only a compiler may assume that every number is finite.
  return (std::bit_cast<std::uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
}

/// What a field of the first line can be: the name of a column, a value (or the mark of a missing one), or either.
enum class CsvField { name, value, unclear };

inline CsvField csv_field(std::string_view s) {
  if (s.empty()) return CsvField::unclear;
  if (is_decimal(s.front() == '+' ? s.substr(1) : s)) return CsvField::value;  // including one that is too large
  if (s.front() == '#' && (s.back() == '!' || s.back() == '?')) return CsvField::value;  // a spreadsheet's #DIV/0!
  if (!is_utf8(s)) return CsvField::value;
  std::string word;  // its letters and digits, in lower case
  bool letters = false;
  for (const char c : s) {
    const auto u = static_cast<unsigned char>(c);
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
    // Letters outside ASCII begin with a byte of 0xc3 or above. 0xe2 begins punctuation and symbols (also a minus sign).
    const bool letter = (lower >= 'a' && lower <= 'z') || (u >= 0xc3 && u != 0xe2);
    const bool digit = c >= '0' && c <= '9';
    if (digit && !letters) return CsvField::unclear;
    letters = letters || letter;
    if (letter || digit) word += lower;
  }
  constexpr std::string_view values[] = {"na",   "nan",     "nat", "null",     "nil",  "none",
                                         "void", "missing", "inf", "infinity", "true", "false"};
  const bool missing = !letters || (word.starts_with("nan") && s.find('(') != s.npos) ||
                       std::find(std::begin(values), std::end(values), word) != std::end(values);
  return missing ? CsvField::value : CsvField::name;
}

/// See CsvHeader::automatic.
inline bool csv_is_header(const std::vector<std::string>& fields) {
  const auto count = [&](CsvField kind) {
    return std::count_if(fields.begin(), fields.end(), [&](const std::string& f) { return csv_field(f) == kind; });
  };
  return count(CsvField::name) > count(CsvField::value);
}

}  // namespace detail

/// Parses a table. Fields are trimmed and may be in double quotes. Lines end in \n or \r\n, and empty lines at the end are
/// ignored. Throws Error for a field that is not a finite number, with line and column counted from 1, for a line with
/// another number of fields, and for a table without rows. No row is ever left out.
[[nodiscard]] inline CsvTable parse_csv(std::string_view text, std::string_view where, char separator = ',',
                                        CsvHeader mode = CsvHeader::automatic) {
  const auto fail = [&](const std::string& expected, const std::string& got, std::int64_t line, std::size_t column = 0,
                        const char* advice = "") {
    throw Error("load_csv",
                "expected " + expected + ", got " + got + " in line " + std::to_string(line) +
                    (column ? ", column " + std::to_string(column) : "") + advice,
                where);
  };
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);  // a byte order mark
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);

  CsvTable table;
  std::vector<std::string> fields;
  for (std::int64_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);

    fields.clear();
    for (bool more = true; more;) {
      std::string field;
      while (!rest.empty() && (rest[0] == ' ' || rest[0] == '\t') && rest[0] != separator) rest.remove_prefix(1);
      if (!rest.empty() && rest[0] == '"') {
        std::size_t at = 1;
        for (; at < rest.size() && (rest[at] != '"' || (at + 1 < rest.size() && rest[at + 1] == '"')); ++at) {
          field += rest[at];
          at += rest[at] == '"';  // two quotes stand for one
        }
        if (at == rest.size()) fail("a closing quote", "the end of the line", line, fields.size() + 1);
        rest.remove_prefix(at + 1);
        const std::string_view tail = detail::csv_trim(rest.substr(0, rest.find(separator)));
        if (!tail.empty()) fail("a separator after the quoted field", in_quotes(tail), line, fields.size() + 1);
        rest.remove_prefix(std::min(rest.find(separator), rest.size()));
      } else {
        const std::size_t n = std::min(rest.find(separator), rest.size());
        field = detail::csv_trim(rest.substr(0, n));
        rest.remove_prefix(n);
      }
      more = !rest.empty();
      if (more) rest.remove_prefix(1);
      fields.push_back(std::move(field));
    }

    if (line == 1) {
      table.columns = static_cast<std::int64_t>(fields.size());
      if (mode == CsvHeader::present || (mode == CsvHeader::automatic && detail::csv_is_header(fields))) {
        table.header = fields;
        continue;
      }
    }
    if (fields.size() != static_cast<std::size_t>(table.columns))
      fail(std::to_string(table.columns) + " fields", std::to_string(fields.size()), line);
    for (std::size_t c = 0; c < fields.size(); ++c) {
      table.values.emplace_back();
      if (!detail::csv_number(fields[c], table.values.back()))
        fail("a finite number", in_quotes(fields[c]), line, c + 1,
             line == 1 && mode == CsvHeader::automatic ? "; if this line names the columns, pass CsvHeader::present"
                                                       : "");
    }
    ++table.rows;
  }
  if (table.rows == 0)
    throw Error("load_csv",
                std::string("expected at least one row of numbers, got ") +
                    (table.header.empty() ? "none" : "a header and none"),
                where);
  return table;
}

[[nodiscard]] inline CsvTable load_csv(const std::string& path, char separator = ',',
                                       CsvHeader mode = CsvHeader::automatic) {
  const auto bytes = read_file(path);
  return parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, separator, mode);
}

}  // namespace tenon

TENON_IEEE_MATH_END
