// Numbers from text: the same from std::from_chars and from strtod, exact, in every locale.
// SPDX-License-Identifier: MIT
#include "tenon/core/number.hpp"

#include <charconv>
#include <clocale>
#include <cmath>
#include <cstring>
#include <limits>

#include "catch.hpp"

using namespace tenon;

namespace {

std::uint64_t bits(double d) {
  std::uint64_t b;
  std::memcpy(&b, &d, sizeof b);
  return b;
}

// Both implementations must agree: the one for libstdc++ and the one for older versions of libc++.
std::optional<double> parsed(std::string_view text) {
  const auto a = parse_number<double>(text), b = detail::parse_double_by_strtod(text);
  INFO("text " << text);
  CHECK(a.has_value() == b.has_value());
  if (a && b && !(std::isnan(*a) && std::isnan(*b))) CHECK(bits(*a) == bits(*b));
  return a;
}

}  // namespace

TEST_CASE("number: a double in every spelling") {
  CHECK(parsed("0") == 0.0);
  CHECK(parsed("-0") == 0.0);
  CHECK(std::signbit(*parsed("-0")));
  CHECK(parsed("-2.5") == -2.5);
  CHECK(parsed(".5") == 0.5);
  CHECK(parsed("5.") == 5.0);
  CHECK(parsed("1e3") == 1000.0);
  CHECK(parsed("1E-3") == 0.001);
  CHECK(parsed("1e+3") == 1000.0);
  CHECK(parsed("-.5e1") == -5.0);
  CHECK(std::isinf(*parsed("inf")));
  CHECK(*parsed("-Infinity") < 0);
  CHECK(std::isnan(*parsed("NaN")));
}

TEST_CASE("number: what is no number, or more than one, is refused") {
  for (const char* bad : {"",
                          " 1",
                          "1 ",
                          "+1",
                          "--1",
                          "-",
                          ".",
                          "-.",
                          "e5",
                          "1e",
                          "1e+",
                          "0x10",
                          "1f",
                          "1,5",
                          "1.2.3",
                          "1 2",
                          "nan(1)",
                          "infi",
                          "infinit",
                          "infinityy",
                          "1_0",
                          "1d0",
                          "\t1",
                          "1\n",
                          "1'0",
                          "0b1",
                          "- 1",
                          "+inf",
                          "in",
                          "1e5.",
                          "\xc2\xa0"
                          "1"})
    CHECK_FALSE(parsed(bad));
  CHECK_FALSE(parsed(std::string_view("1\0", 2)));
  CHECK_FALSE(parsed(std::string_view("\0", 1)));
}

TEST_CASE("number: too large is refused, too small is rounded") {
  CHECK(parsed("1.7976931348623157e308") == std::numeric_limits<double>::max());
  CHECK_FALSE(parsed("1.7976931348623159e308"));
  CHECK_FALSE(parsed("1e309"));
  CHECK_FALSE(parsed("-1e999"));
  CHECK_FALSE(parsed(std::string(400, '9')));
  CHECK(parsed("1e-400") == 0.0);
  CHECK(std::signbit(*parsed("-1e-400")));
  CHECK(parsed("4.9406564584124654e-324") == std::numeric_limits<double>::denorm_min());
  CHECK(parsed("2.2250738585072009e-308") == 0x0.fffffffffffffp-1022);
  CHECK(parsed("0." + std::string(400, '0') + "1") == 0.0);
  CHECK(parsed("0e999999999999999999999") == 0.0);
}

TEST_CASE("number: rounded to nearest, however many digits") {
  CHECK(parsed("0.1") == 0.1);
  CHECK(parsed("9007199254740993") == 9007199254740992.0);  // halfway: rounds to even
  CHECK(parsed("9007199254740993.0000000000000000000000000001") == 9007199254740994.0);
  CHECK(parsed("1" + std::string(300, '0')) == 1e300);
  CHECK(parsed("8.41e21") == 8.41e21);
  CHECK(parsed("6250000000000000000000000000000e-30") == 6.25);
}

TEST_CASE("number: the shortest decimal of any double reads back as the same bits") {
  std::uint64_t x = 88172645463325252u;
  for (int i = 0; i < 100000; ++i) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    double d;
    std::memcpy(&d, &x, sizeof d);
    if (!std::isfinite(d)) continue;
    char text[64];
    const std::string_view s(text, static_cast<std::size_t>(std::to_chars(text, text + sizeof text, d).ptr - text));
    const auto a = parse_number<double>(s), b = detail::parse_double_by_strtod(s);
    if (!a || !b || bits(*a) != x || bits(*b) != x) FAIL(s);
  }
}

TEST_CASE("number: a decimal comma in the program's locale changes nothing") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"C", "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "nl_NL.UTF-8"}) {
    if (!std::setlocale(LC_ALL, name)) continue;  // not installed here
    CHECK(parsed("1.5") == 1.5);
    CHECK_FALSE(parsed("1,5"));
  }
  std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("number: integers") {
  CHECK(parse_number<int>("-12") == -12);
  CHECK(parse_number<std::uint64_t>("18446744073709551615") == ~std::uint64_t{0});
  CHECK_FALSE(parse_number<std::uint64_t>("18446744073709551616"));
  for (const char* bad : {"", "1.0", "1 ", " 1", "+1", "x", "1e3", "2147483648"}) CHECK_FALSE(parse_number<int>(bad));
  CHECK_FALSE(parse_number<std::uint32_t>("-1"));
}
