// SHA-256 (FIPS 180-4), computed incrementally. Uses the SHA instructions of x86-64 (SHA-NI) and arm64 (FEAT_SHA256) if the
// processor has them.
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
#include "tenon/core/config.hpp"

#if TENON_X86
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif
#endif

namespace tenon {
namespace detail {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
inline constexpr std::uint32_t sha256_keys[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

TENON_INLINE std::uint32_t sha256_word(const std::byte* p) {
  return std::to_integer<std::uint32_t>(p[0]) << 24 | std::to_integer<std::uint32_t>(p[1]) << 16 |
         std::to_integer<std::uint32_t>(p[2]) << 8 | std::to_integer<std::uint32_t>(p[3]);
}

TENON_INLINE void sha256_round(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t& d, std::uint32_t e,
                               std::uint32_t f, std::uint32_t g, std::uint32_t& h, std::uint32_t key) {
  h += key + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + (g ^ (e & (f ^ g)));
  d += h;
  h += (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) | (c & (a | b)));
}

/// Adds `blocks` blocks of 64 bytes at p to the state of 8 words, with no special instructions.
inline void sha256_portable(std::uint32_t* state, const std::byte* p, std::size_t blocks) {
  const auto& k = sha256_keys;
  for (; blocks > 0; --blocks, p += 64) {
    std::uint32_t w[64];
    for (int t = 0; t < 16; ++t) w[t] = sha256_word(p + 4 * t);
    for (int t = 16; t < 64; ++t) {
      const std::uint32_t x = w[t - 15], y = w[t - 2];
      w[t] = w[t - 16] + (std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3)) + w[t - 7] +
             (std::rotr(y, 17) ^ std::rotr(y, 19) ^ (y >> 10));
    }
    std::uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    std::uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t += 8) {  // eight rounds rotate the variables back, so no value is moved
      sha256_round(a, b, c, d, e, f, g, h, k[t] + w[t]);
      sha256_round(h, a, b, c, d, e, f, g, k[t + 1] + w[t + 1]);
      sha256_round(g, h, a, b, c, d, e, f, k[t + 2] + w[t + 2]);
      sha256_round(f, g, h, a, b, c, d, e, k[t + 3] + w[t + 3]);
      sha256_round(e, f, g, h, a, b, c, d, k[t + 4] + w[t + 4]);
      sha256_round(d, e, f, g, h, a, b, c, k[t + 5] + w[t + 5]);
      sha256_round(c, d, e, f, g, h, a, b, k[t + 6] + w[t + 6]);
      sha256_round(b, c, d, e, f, g, h, a, k[t + 7] + w[t + 7]);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

#if TENON_X86

__attribute__((target("sha,sse4.1"), always_inline)) inline __m128i sha256_load(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

/// The same with SHA-NI. Its instructions keep the state as the words (f, e, b, a) and (h, g, d, c), lowest lane first.
__attribute__((target("sha,sse4.1"))) inline void sha256_hardware(std::uint32_t* state, const std::byte* p,
                                                                  std::size_t blocks) {
  const __m128i big_endian = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
  const __m128i dcba = _mm_shuffle_epi32(sha256_load(state), 0xb1),
                hgfe = _mm_shuffle_epi32(sha256_load(state + 4), 0x1b);
  __m128i abef = _mm_alignr_epi8(dcba, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, dcba, 0xf0);

  for (; blocks > 0; --blocks, p += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];  // the last 16 words of the message schedule
    TENON_UNROLL
    for (int i = 0; i < 4; ++i) w[i] = _mm_shuffle_epi8(sha256_load(p + 16 * i), big_endian);
    TENON_UNROLL
    for (int i = 0; i < 16; ++i) {  // four rounds
      if (i >= 4) {
        const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]),
                                          _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4));
        w[i % 4] = _mm_sha256msg2_epu32(sum, w[(i + 3) % 4]);
      }
      const __m128i keyed = _mm_add_epi32(w[i % 4], sha256_load(sha256_keys + 4 * i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
inline bool has_sha256_hardware() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx >> 29 & 1);
}

#elif TENON_ARM_SHA256

/// The same with the SHA-256 instructions of ARMv8.
#ifdef __clang__
__attribute__((target("sha2")))
#else
__attribute__((target("+crypto")))
#endif
inline void
sha256_hardware(std::uint32_t* state, const std::byte* p, std::size_t blocks) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; blocks > 0; --blocks, p += 64) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4];
    TENON_UNROLL
    for (int i = 0; i < 4; ++i)
      w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p) + 16 * i)));
    TENON_UNROLL
    for (int i = 0; i < 16; ++i) {  // four rounds
      if (i >= 4) w[i % 4] = vsha256su1q_u32(vsha256su0q_u32(w[i % 4], w[(i + 1) % 4]), w[(i + 2) % 4], w[(i + 3) % 4]);
      const uint32x4_t keyed = vaddq_u32(w[i % 4], vld1q_u32(sha256_keys + 4 * i)), before = abcd;
      abcd = vsha256hq_u32(abcd, efgh, keyed);
      efgh = vsha256h2q_u32(efgh, before, keyed);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}
inline bool has_sha256_hardware() {
#if defined(__ARM_FEATURE_SHA2)
  return true;
#elif defined(__linux__)
  return getauxval(AT_HWCAP) >> 6 & 1;  // HWCAP_SHA2
#else
  return false;
#endif
}

#else

inline void sha256_hardware(std::uint32_t* state, const std::byte* p, std::size_t blocks) {
  sha256_portable(state, p, blocks);
}
inline bool has_sha256_hardware() { return false; }

#endif

}  // namespace detail

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
  void compress(const std::byte* p, std::size_t blocks) {
    static const bool hardware = detail::has_sha256_hardware();
    (hardware ? detail::sha256_hardware : detail::sha256_portable)(state_, p, blocks);
  }

  // The first 32 bits of the fractional parts of the square roots of the first eight primes.
  std::uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::uint64_t length_ = 0;  // bytes
  std::byte block_[64] = {};
};

}  // namespace tenon
