// Text from files: detects valid UTF-8 and converts text for one line of an error message.
// SPDX-License-Identifier: MIT
#include "tenon/io/text.hpp"

#include "catch.hpp"

using tenon::in_quotes;
using tenon::is_utf8;

TEST_CASE("is_utf8: well-formed") {
  for (const char* s : {"", "abc", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa9z"})
    CHECK(is_utf8(s));
  CHECK(is_utf8(std::string_view("\0a", 2)));
}

TEST_CASE("is_utf8: overlong, surrogates, out of range, cut short, stray") {
  for (const char* s : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
                        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "\xc3",
                        "\xe2\x82", "\xf0\x9f\x98", "\xc3z", "\xe2z\x82", "a\xc3\xa9\xa9"})
    CHECK_FALSE(is_utf8(s));
}

TEST_CASE("in_quotes: one line, no control characters, at most 60 characters") {
  CHECK(in_quotes("0.weight") == "\"0.weight\"");
  CHECK(in_quotes("a\nb\x1b[31m\x7f") == "\"a\\x0ab\\x1b[31m\\x7f\"");
  CHECK(in_quotes("\"\\") == "\"\\\"\\\\\"");
  CHECK(in_quotes("\xc3\xa9") == "\"\xc3\xa9\"");
  CHECK(in_quotes("\xc3") == "\"\\xc3\"");
  const std::string max(60, 'a'), less(59, 'a');
  CHECK_THAT(in_quotes(max), Equals('"' + max + '"'));
  CHECK_THAT(in_quotes(max + 'a'), Equals('"' + max + "...\""));
  CHECK_THAT(in_quotes(less + "\xc3\xa9z"), Equals('"' + less + "...\""));
}
