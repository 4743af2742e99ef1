// SHA-256 (FIPS 180-4), computed incrementally.
//   tenon::Sha256().update(a).update(b).hex()
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "tenon/core/bytes.hpp"
#include "tenon/core/config.hpp"  // TENON_INLINE

namespace tenon {

class Sha256 {
 public:
  Sha256& update(Bytes bytes) {
    if (bytes.empty()) return *this;
    const std::size_t held = length_ % 64;
    length_ += bytes.size();
    if (held > 0) {
      const std::size_t n = std::min(64 - held, bytes.size());
      std::memcpy(block_ + held, bytes.data(), n);
      if (held + n < 64) return *this;
      compress(block_, 1);
      bytes = bytes.subspan(n);
    }
    compress(bytes.data(), bytes.size() / 64);
    const Bytes rest = bytes.subspan(bytes.size() / 64 * 64);
    if (!rest.empty()) std::memcpy(block_, rest.data(), rest.size());
    return *this;
  }

  /// The digest of all bytes so far. More may follow.
  std::array<std::byte, 32> digest() const {
    Sha256 last = *this;
    std::byte padding[72] = {std::byte{0x80}};  // then zeros, then the length in bits as the block's last eight bytes
    const std::size_t zeros = (119 - length_ % 64) % 64;
    for (std::size_t i = 0; i < 8; ++i) padding[1 + zeros + i] = static_cast<std::byte>(length_ * 8 >> (56 - 8 * i));
    last.update(Bytes(padding, 1 + zeros + 8));
    std::array<std::byte, 32> out;
    for (std::size_t i = 0; i < 32; ++i) out[i] = static_cast<std::byte>(last.state_[i / 4] >> (24 - 8 * (i % 4)));
    return out;
  }

  /// The digest as 64 lower-case hexadecimal digits.
  std::string hex() const {
    std::string s;
    for (const std::byte b : digest())
      for (const int shift : {4, 0}) s += "0123456789abcdef"[std::to_integer<int>(b) >> shift & 15];
    return s;
  }

 private:
  static std::uint32_t big_endian(const std::byte* p) {
    return std::to_integer<std::uint32_t>(p[0]) << 24 | std::to_integer<std::uint32_t>(p[1]) << 16 |
           std::to_integer<std::uint32_t>(p[2]) << 8 | std::to_integer<std::uint32_t>(p[3]);
  }

  void compress(const std::byte* p, std::size_t blocks) {
    // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    static constexpr std::uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

    for (; blocks > 0; --blocks, p += 64) {
      std::uint32_t w[64];
      for (int t = 0; t < 16; ++t) w[t] = big_endian(p + 4 * t);
      for (int t = 16; t < 64; ++t) {
        const std::uint32_t x = w[t - 15], y = w[t - 2];
        w[t] = w[t - 16] + (std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3)) + w[t - 7] +
               (std::rotr(y, 17) ^ std::rotr(y, 19) ^ (y >> 10));
      }
      std::uint32_t a = state_[0], b = state_[1], c = state_[2], d = state_[3];
      std::uint32_t e = state_[4], f = state_[5], g = state_[6], h = state_[7];
      for (int t = 0; t < 64; t += 8) {  // eight rounds rotate the variables back, so no value is moved
        round(a, b, c, d, e, f, g, h, k[t] + w[t]);
        round(h, a, b, c, d, e, f, g, k[t + 1] + w[t + 1]);
        round(g, h, a, b, c, d, e, f, k[t + 2] + w[t + 2]);
        round(f, g, h, a, b, c, d, e, k[t + 3] + w[t + 3]);
        round(e, f, g, h, a, b, c, d, k[t + 4] + w[t + 4]);
        round(d, e, f, g, h, a, b, c, k[t + 5] + w[t + 5]);
        round(c, d, e, f, g, h, a, b, k[t + 6] + w[t + 6]);
        round(b, c, d, e, f, g, h, a, k[t + 7] + w[t + 7]);
      }
      state_[0] += a, state_[1] += b, state_[2] += c, state_[3] += d;
      state_[4] += e, state_[5] += f, state_[6] += g, state_[7] += h;
    }
  }

  TENON_INLINE static void round(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t& d, std::uint32_t e,
                                 std::uint32_t f, std::uint32_t g, std::uint32_t& h, std::uint32_t key) {
    h += key + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + (g ^ (e & (f ^ g)));
    d += h;
    h += (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) | (c & (a | b)));
  }

  // The first 32 bits of the fractional parts of the square roots of the first eight primes.
  std::uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::uint64_t length_ = 0;  // bytes
  std::byte block_[64] = {};
};

}  // namespace tenon
