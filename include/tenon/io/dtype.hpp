// The element types of files, and their conversion to the types that programs compute with.
//
//   to float, double      from F8_E4M3, F8_E5M2, F16, BF16, F32, F64: rounded to nearest if the target is narrower
//   to an integer         from integers and BOOL: throws Error if a value does not fit
//
// The name and size of the other types are known, so that a file may also hold tensors that are not read.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tenon/core/config.hpp"
#include "tenon/core/error.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

static_assert(std::endian::native == std::endian::little, "tenon: files are little-endian, and are read as they lie");

/// All types of the format. safetensors stores tensors in the reverse of this order: the largest alignment is last here.
enum class Dtype : std::uint8_t {
  BOOL,
  F4,
  F6_E2M3,
  F6_E3M2,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64
};
inline constexpr int dtype_count = 22;

inline std::string_view dtype_name(Dtype t) {
  static constexpr std::string_view names[dtype_count] = {
      "BOOL", "F4",  "F6_E2M3", "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
      "I16",  "U16", "F16",     "BF16",    "I32", "U32", "F32",     "C64",     "F64",     "I64",         "U64"};
  return names[static_cast<int>(t)];
}

/// Bits of one element.
inline constexpr std::size_t dtype_bits(Dtype t) {
  if (t == Dtype::F4) return 4;
  if (t == Dtype::F6_E2M3 || t == Dtype::F6_E3M2) return 6;
  return t < Dtype::I16 ? 8 : t < Dtype::I32 ? 16 : t < Dtype::C64 ? 32 : 64;
}
/// Bytes of one element; 0 for types of less than one byte.
inline constexpr std::size_t dtype_size(Dtype t) { return dtype_bits(t) / 8; }

inline std::optional<Dtype> dtype_named(std::string_view name) {
  for (int i = 0; i < dtype_count; ++i)
    if (name == dtype_name(static_cast<Dtype>(i))) return static_cast<Dtype>(i);
  return {};
}

/// The types that convert to float and double.
inline constexpr bool is_floating(Dtype t) {
  return t == Dtype::F8_E4M3 || t == Dtype::F8_E5M2 || t == Dtype::F16 || t == Dtype::BF16 || t == Dtype::F32 ||
         t == Dtype::F64;
}
/// The types that convert to integers: integers and BOOL.
inline constexpr bool is_integer(Dtype t) {
  return t == Dtype::BOOL || t == Dtype::U8 || t == Dtype::I8 || t == Dtype::I16 || t == Dtype::U16 ||
         t == Dtype::I32 || t == Dtype::U32 || t == Dtype::I64 || t == Dtype::U64;
}

/// The Dtype of a C++ type.
template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::same_as<T, bool>)
    return Dtype::BOOL;
  else if constexpr (std::same_as<T, float>)
    return Dtype::F32;
  else if constexpr (std::same_as<T, double>)
    return Dtype::F64;
  else {
    static_assert(std::integral<T>, "tenon::dtype_of<T>: T must be float, double, bool or an integer");
    constexpr bool s = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1)
      return s ? Dtype::I8 : Dtype::U8;
    else if constexpr (sizeof(T) == 2)
      return s ? Dtype::I16 : Dtype::U16;
    else if constexpr (sizeof(T) == 4)
      return s ? Dtype::I32 : Dtype::U32;
    else
      return s ? Dtype::I64 : Dtype::U64;
  }
}

inline float float_from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

inline float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits} >> 15 << 31, exponent = bits >> 10 & 31u, fraction = bits & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);  // infinity, NaN
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero and subnormals
  return sign ? -magnitude : magnitude;
}

/// Sign, 5 exponent bits, 2 fraction bits: the upper half of an F16.
inline float float_from_f8_e5m2(std::uint8_t bits) { return float_from_f16(static_cast<std::uint16_t>(bits << 8)); }

/// Sign, 4 exponent bits, 3 fraction bits. If all exponent and fraction bits are set, it is NaN. There are no infinities.
inline float float_from_f8_e4m3(std::uint8_t bits) {
  const std::uint32_t sign = std::uint32_t{bits} >> 7 << 31, exponent = bits >> 3 & 15u, fraction = bits & 7u;
  if (exponent == 15 && fraction == 7) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 120) << 23 | fraction << 20);
  const float magnitude = static_cast<float>(fraction) * 0x1p-9f;
  return sign ? -magnitude : magnitude;
}

namespace detail {

template <class From, class T, class Decode>
void convert_each(const std::byte* from, std::span<T> to, Decode decode) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));  // the bytes of a file may be unaligned
    to[i] = decode(value);
  }
}

template <class From, class T>
void convert_integers(const std::byte* from, std::span<T> to, std::string_view operation, std::string_view where) {
  convert_each<From>(from, to, [&](From v) {
    if (!std::in_range<T>(v)) {
      const std::string type(dtype_name(dtype_of<T>()));
      throw Error(operation, "expected values that fit " + type + ", got " + std::to_string(v), where);
    }
    return static_cast<T>(v);
  });
}

}  // namespace detail

/// Converts to.size() elements of type `dtype`, which may be unaligned, to T.
template <class T>
void convert_values(Dtype dtype, const std::byte* from, std::span<T> to, std::string_view operation,
                    std::string_view where) {
  if (dtype == dtype_of<T>()) {
    if (!to.empty()) std::memcpy(to.data(), from, to.size_bytes());
    return;
  }
  if constexpr (std::floating_point<T>) {
    switch (dtype) {
      case Dtype::F8_E4M3:
        return detail::convert_each<std::uint8_t>(from, to, [](auto v) { return T(float_from_f8_e4m3(v)); });
      case Dtype::F8_E5M2:
        return detail::convert_each<std::uint8_t>(from, to, [](auto v) { return T(float_from_f8_e5m2(v)); });
      case Dtype::F16:
        return detail::convert_each<std::uint16_t>(from, to, [](auto v) { return T(float_from_f16(v)); });
      case Dtype::BF16:
        return detail::convert_each<std::uint16_t>(from, to, [](auto v) { return T(float_from_bf16(v)); });
      case Dtype::F32: return detail::convert_each<float>(from, to, [](auto v) { return static_cast<T>(v); });
      case Dtype::F64: return detail::convert_each<double>(from, to, [](auto v) { return static_cast<T>(v); });
      default: throw Error(operation, "expected floating-point numbers, got " + std::string(dtype_name(dtype)), where);
    }
  } else {
    switch (dtype) {
      case Dtype::BOOL:
      case Dtype::U8: return detail::convert_integers<std::uint8_t>(from, to, operation, where);
      case Dtype::I8: return detail::convert_integers<std::int8_t>(from, to, operation, where);
      case Dtype::I16: return detail::convert_integers<std::int16_t>(from, to, operation, where);
      case Dtype::U16: return detail::convert_integers<std::uint16_t>(from, to, operation, where);
      case Dtype::I32: return detail::convert_integers<std::int32_t>(from, to, operation, where);
      case Dtype::U32: return detail::convert_integers<std::uint32_t>(from, to, operation, where);
      case Dtype::I64: return detail::convert_integers<std::int64_t>(from, to, operation, where);
      case Dtype::U64: return detail::convert_integers<std::uint64_t>(from, to, operation, where);
      default: throw Error(operation, "expected integers, got " + std::string(dtype_name(dtype)), where);
    }
  }
}

}  // namespace tenon

TENON_IEEE_MATH_END
