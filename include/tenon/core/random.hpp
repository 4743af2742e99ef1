// Random numbers as a function instead of a stream: Philox 4x32-10 of (seed, use, layer, step, sample, element).
//
// The same six numbers give the same value on every device, for any number of threads, and after training is resumed.
// `sample` is the position of the sample in the epoch, never its position in the batch.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct Seed {
  std::uint64_t value = 1;
};

namespace random {

/// The purpose of a random number. Different uses have different sequences.
enum class Use : std::uint32_t { init = 1, shuffle = 2, augment = 3, dropout = 4, user = 5 };

struct Four {
  std::uint32_t v[4];
};

/// Philox 4x32 with ten rounds.
TENON_HD inline Four philox(Four counter, std::uint32_t key0, std::uint32_t key1) {
  std::uint32_t c0 = counter.v[0], c1 = counter.v[1], c2 = counter.v[2], c3 = counter.v[3];
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ key0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// One use of random numbers: all parts of the key except the sample and the element.
struct Key {
  std::uint64_t seed = 1;
  Use use = Use::user;
  std::uint32_t layer = 0;  // node of the unfused plan, or 0
  std::uint32_t step = 0;   // training step, or epoch

  /// Elements 4 * block .. 4 * block + 3 of `sample`, as raw 32-bit words. `block` < 2^16; use more samples if needed.
  TENON_HD Four words(std::uint64_t sample, std::uint32_t block) const {
    const std::uint32_t s0 = static_cast<std::uint32_t>(sample), s1 = static_cast<std::uint32_t>(sample >> 32);
    return philox({{block, s0, step, (static_cast<std::uint32_t>(use) << 28) | layer}},
                  static_cast<std::uint32_t>(seed) ^ (s1 * 0x85EBCA6Bu), static_cast<std::uint32_t>(seed >> 32));
  }
};

/// Maps 32 random bits to [0, 1), in multiples of 2^-24.
TENON_HD inline float unit(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

/// A bijection of [0, n) that depends on `key`: the shuffled order. Each element can be computed alone, on every device.
/// Up to 256 elements: follows one element through the exchanges of a Fisher-Yates shuffle. All orders are equally likely.
/// More elements: a Feistel network of six rounds on the next even number of bits, repeated until the result is below n.
/// For few elements such a network is biased: with 5 elements some orders are twice as frequent as others, and with 64
/// elements the bias is still visible.
struct Permutation {
  Key key;
  std::uint64_t n = 1;

  static constexpr std::uint64_t max_exchanges = 256;

  TENON_HD std::uint64_t operator()(std::uint64_t i) const { return n <= max_exchanges ? exchanged(i) : walked(i); }

 private:
  // For k from n - 1 down to 1, the elements at k and j are exchanged. j is random in [0, k].
  TENON_HD std::uint64_t exchanged(std::uint64_t i) const {
    std::uint32_t at = static_cast<std::uint32_t>(i);
    Four w{};
    for (std::uint32_t k = static_cast<std::uint32_t>(n) - 1, last = k; k > 0; --k) {
      if (k % 2 == 1 || k == last) w = key.words(6, k / 2);  // 64 bits each for k = 2 m and 2 m + 1
      const std::uint64_t high = k % 2 == 1 ? w.v[2] : w.v[0], low = k % 2 == 1 ? w.v[3] : w.v[1];
      const std::uint32_t j = static_cast<std::uint32_t>((high * (k + 1) + (low * (k + 1) >> 32)) >> 32);
      at = at == k ? j : at == j ? k : at;
    }
    return at;
  }

  TENON_HD std::uint64_t walked(std::uint64_t i) const {
    int half = 1;
    while (half < 31 && (std::uint64_t{1} << (2 * half)) < n) ++half;
    const std::uint32_t mask = (std::uint32_t{1} << half) - 1;
    do {
      std::uint32_t left = static_cast<std::uint32_t>(i >> half), right = static_cast<std::uint32_t>(i) & mask;
      for (std::uint32_t round = 0; round < 6; ++round) {
        const std::uint32_t f = key.words(round, right).v[0] & mask;
        const std::uint32_t next = left ^ f;
        left = right;
        right = next;
      }
      i = (std::uint64_t{left} << half) | right;
    } while (i >= n);
    return i;
  }
};

}  // namespace random
}  // namespace tenon

TENON_IEEE_MATH_END
