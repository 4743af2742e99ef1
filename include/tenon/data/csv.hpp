// Tables of numbers as text: a line a row, a separator between, perhaps names in the first line.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tenon/core/os.hpp"
#include "tenon/io/text.hpp"

namespace tenon {

struct CsvTable {
  std::vector<std::string> header;  // empty, or a name for each column
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;  // (rows, columns)

  std::span<const float> row(std::int64_t r) const {
    return {values.data() + r * columns, static_cast<std::size_t>(columns)};
  }
};

enum class CsvHeader { automatic, present, absent };  // automatic: present if a field of the first line is no number

namespace detail {

inline std::string_view csv_trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

inline bool csv_number(std::string_view s, float& value) {
  if (s.size() > 1 && s[0] == '+' && s[1] != '-') s.remove_prefix(1);
  double d = 0;
  const auto [end, code] = std::from_chars(s.data(), s.data() + s.size(), d);
  value = static_cast<float>(d);
  return code == std::errc() && end == s.data() + s.size() && std::isfinite(value);
}

}  // namespace detail

/// Fields are trimmed and may be in double quotes; lines end in \n or \r\n, and empty ones at the end are no rows. A
/// field that is not a finite number, or a line of another length, is an Error that names line and column from 1.
inline CsvTable parse_csv(std::string_view text, std::string_view where, char separator = ',',
                          CsvHeader mode = CsvHeader::automatic) {
  const auto fail = [&](const std::string& expected, const std::string& got, std::int64_t line,
                        std::size_t column = 0) {
    throw Error("load_csv",
                "expected " + expected + ", got " + got + " in line " + std::to_string(line) +
                    (column ? ", column " + std::to_string(column) : ""),
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
          at += rest[at] == '"';  // two quotes are one
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
      bool named = mode == CsvHeader::present;
      float ignored;
      for (const auto& f : fields) named = named || (mode == CsvHeader::automatic && !detail::csv_number(f, ignored));
      if (named) {
        table.header = fields;
        continue;
      }
    }
    if (fields.size() != static_cast<std::size_t>(table.columns))
      fail(std::to_string(table.columns) + " fields", std::to_string(fields.size()), line);
    for (std::size_t c = 0; c < fields.size(); ++c) {
      table.values.emplace_back();
      if (!detail::csv_number(fields[c], table.values.back()))
        fail("a finite number", in_quotes(fields[c]), line, c + 1);
    }
    ++table.rows;
  }
  if (table.rows == 0) throw Error("load_csv", "expected at least one row of numbers, got none", where);
  return table;
}

inline CsvTable load_csv(const std::string& path, char separator = ',', CsvHeader mode = CsvHeader::automatic) {
  const auto bytes = read_file(path);
  return parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, separator, mode);
}

}  // namespace tenon
