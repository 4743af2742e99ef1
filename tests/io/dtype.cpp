// Dtype: names, sizes, and conversions of every value that 16 bits hold.
// SPDX-License-Identifier: MIT
#include "tenon/io/dtype.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

template <class To, class From>
To one(Dtype dtype, From value) {
  std::byte unaligned[sizeof value + 1];
  std::memcpy(unaligned + 1, &value, sizeof value);
  To to{};
  convert_values<To>(dtype, unaligned + 1, std::span(&to, 1), "load", "f");
  return to;
}

}  // namespace

TEST_CASE("dtype: each name leads back to its type") {
  for (int i = 0; i < dtype_count; ++i) CHECK(dtype_named(dtype_name(static_cast<Dtype>(i))) == static_cast<Dtype>(i));
  CHECK_FALSE(dtype_named("C128"));
  CHECK_FALSE(dtype_named(""));
  CHECK(dtype_size(*dtype_named("F16")) == 2);
  CHECK(dtype_size(*dtype_named("BF16")) == 2);
  CHECK(dtype_size(*dtype_named("I32")) == 4);
  CHECK(dtype_size(*dtype_named("U64")) == 8);
  CHECK(dtype_size(*dtype_named("I8")) == 1);
  CHECK(dtype_size(*dtype_named("BOOL")) == 1);
  CHECK(dtype_size(*dtype_named("C64")) == 8);
  for (const char* name : {"F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})
    CHECK(dtype_size(*dtype_named(name)) == 1);
  CHECK(dtype_bits(*dtype_named("F4")) == 4);
  CHECK(dtype_bits(*dtype_named("F6_E2M3")) == 6);
  CHECK(dtype_bits(*dtype_named("F6_E3M2")) == 6);
  for (int i = 0; i < dtype_count; ++i) {  // each converts to floating-point numbers, to integers, or to neither
    const auto t = static_cast<Dtype>(i);
    CHECK((is_floating(t) ? 1 : 0) + (is_integer(t) ? 1 : 0) <= 1);
    CHECK(is_integer(t) == (t == Dtype::BOOL || dtype_name(t)[0] == 'I' || dtype_name(t)[0] == 'U'));
  }
  static_assert(dtype_of<float>() == Dtype::F32 && dtype_of<std::int64_t>() == Dtype::I64);
  static_assert(dtype_of<std::uint8_t>() == Dtype::U8 && dtype_of<std::int32_t>() == Dtype::I32);
  static_assert(dtype_of<long long>() == Dtype::I64 && dtype_of<bool>() == Dtype::BOOL);
}

TEST_CASE("dtype: every F16 is sign * 2^(e - 25) * (1024 + f), or subnormal, infinite, NaN") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float got = float_from_f16(static_cast<std::uint16_t>(bits));
    const int e = static_cast<int>(bits >> 10 & 31), f = static_cast<int>(bits & 1023);
    REQUIRE(std::signbit(got) == (bits >> 15 != 0));
    if (e == 31 && f != 0)
      REQUIRE(std::isnan(got));
    else if (e == 31)
      REQUIRE(std::isinf(got));
    else
      REQUIRE(std::fabs(double{got}) == (e == 0 ? std::ldexp(f, -24) : std::ldexp(1024 + f, e - 25)));
  }
}

TEST_CASE("dtype: every F8_E4M3 and F8_E5M2 is sign * 2^e * fraction, or NaN, or (E5M2) infinite") {
  for (int bits = 0; bits < 256; ++bits) {
    const float a = one<float>(Dtype::F8_E4M3, static_cast<std::uint8_t>(bits));
    const int e = bits >> 3 & 15, f = bits & 7;
    REQUIRE(std::signbit(a) == (bits >= 128));
    if (e == 15 && f == 7)
      REQUIRE(std::isnan(a));
    else
      REQUIRE(std::fabs(a) == (e == 0 ? std::ldexp(f, -9) : std::ldexp(8 + f, e - 10)));

    const double b = one<double>(Dtype::F8_E5M2, static_cast<std::uint8_t>(bits));
    const int e5 = bits >> 2 & 31, f2 = bits & 3;
    REQUIRE(std::signbit(b) == (bits >= 128));
    if (e5 == 31 && f2 != 0)
      REQUIRE(std::isnan(b));
    else if (e5 == 31)
      REQUIRE(std::isinf(b));
    else
      REQUIRE(std::fabs(b) == (e5 == 0 ? std::ldexp(f2, -16) : std::ldexp(4 + f2, e5 - 17)));
  }
}

TEST_CASE("dtype: floating types convert to float and double") {
  CHECK(one<float>(Dtype::BF16, std::uint16_t{0xc020}) == -2.5f);
  CHECK(std::isnan(one<float>(Dtype::BF16, std::uint16_t{0x7fc0})));
  CHECK(one<double>(Dtype::F16, std::uint16_t{0x3c00}) == 1.0);
  CHECK(one<float>(Dtype::F64, 0.1) == 0.1f);
  CHECK(std::isinf(one<float>(Dtype::F64, 1e300)));
  CHECK(one<double>(Dtype::F32, 0.1f) == double{0.1f});
  CHECK(one<float>(Dtype::F32, -0.0f) == 0);
  CHECK(error_of([] { one<float>(Dtype::I64, std::int64_t{1}); }) ==
        "[load] expected floating-point numbers, got I64 (f)");
  CHECK(error_of([] { one<float>(Dtype::C64, std::int64_t{1}); }) ==
        "[load] expected floating-point numbers, got C64 (f)");
  CHECK(error_of([] { one<std::int64_t>(Dtype::F8_E8M0, std::uint8_t{1}); }) ==
        "[load] expected integers, got F8_E8M0 (f)");
}

TEST_CASE("dtype: integers convert where they fit") {
  CHECK(one<std::int64_t>(Dtype::I32, std::int32_t{-5}) == -5);
  CHECK(one<std::int32_t>(Dtype::U8, std::uint8_t{255}) == 255);
  CHECK(one<std::uint8_t>(Dtype::I64, std::int64_t{255}) == 255);
  CHECK(one<std::int64_t>(Dtype::BOOL, std::uint8_t{1}) == 1);
  CHECK(error_of([] { one<std::uint8_t>(Dtype::I64, std::int64_t{256}); }) ==
        "[load] expected values that fit U8, got 256 (f)");
  CHECK(error_of([] { one<std::uint8_t>(Dtype::I8, std::int8_t{-1}); }) ==
        "[load] expected values that fit U8, got -1 (f)");
  CHECK(error_of([] { one<std::int64_t>(Dtype::U64, ~std::uint64_t{0}); }) ==
        "[load] expected values that fit I64, got 18446744073709551615 (f)");
  CHECK(error_of([] { one<std::int64_t>(Dtype::F32, 1.0f); }) == "[load] expected integers, got F32 (f)");
}

TEST_CASE("dtype: nothing converts to nothing") {
  convert_values<float>(Dtype::F16, nullptr, std::span<float>(), "load", "f");
  convert_values<float>(Dtype::F32, nullptr, std::span<float>(), "load", "f");
  SUCCEED();
}
