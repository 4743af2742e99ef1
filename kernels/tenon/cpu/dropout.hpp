// Dropout: each element is dropped with probability num / den. The others are scaled by den / (den - num).
//   forward  x (B, ...) -> y       backward  dy (B, ...) -> dx       y may be x, dx may be dy
// The mask is a function of (seed, layer, step, position of the sample in the epoch, element). All but the layer are read
// from the StepState. The backward pass computes the mask again instead of storing it. The mask takes no memory and depends
// neither on the threads nor on the index in the batch.
// Cost  8 bytes per element, and 10 rounds of Philox per four elements.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/common/dropout.hpp"
#include "tenon/core/random.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/math.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace portable {

/// y = mask * x * scale (+ y if add), elements [begin, end) of one sample; begin is a multiple of 4.
template <class T>
void dropout_range(const random::Key& key, std::uint64_t position, DropoutRate rate, const T* x, T* y, bool accumulate,
                   std::size_t begin, std::size_t end) {
  const T scale = static_cast<T>(rate.scale);
  for (std::size_t i = begin; i < end; i += 4) {
    const random::Four r = key.words(position, static_cast<std::uint32_t>(i / 4));
    for (std::size_t k = 0; k < 4 && i + k < end; ++k) {
      const T v = r.v[k] < rate.threshold ? T(0) : x[i + k] * scale;
      y[i + k] = accumulate ? y[i + k] + v : v;
    }
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

inline constexpr int sign_bit = static_cast<int>(0x80000000u);  // flipped to compare unsigned numbers as signed ones

struct Products {
  __m256i low, high;
};
/// The 64-bit products of 8 lanes with m.
TENON_AVX2_INLINE Products multiply(__m256i x, __m256i m) {
  const __m256i even = _mm256_mul_epu32(x, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), m);
  return {_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa),
          _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)};
}

/// Eight elements: y = x scale where word >= threshold, else 0. `threshold` is passed with its sign bit flipped.
TENON_AVX2_INLINE void keep(__m256i words, __m256i threshold, __m256 scale, const float* x, float* y, bool accumulate) {
  const __m256i drop = _mm256_cmpgt_epi32(threshold, _mm256_xor_si256(words, _mm256_set1_epi32(sign_bit)));
  const __m256 v = _mm256_andnot_ps(_mm256_castsi256_ps(drop), _mm256_mul_ps(_mm256_loadu_ps(x), scale));
  _mm256_storeu_ps(y, accumulate ? _mm256_add_ps(_mm256_loadu_ps(y), v) : v);
}

/// Elements [begin, end) of one sample, 32 at a time: 8 counters in parallel, laid out as in random::Key::words.
TENON_AVX2 inline void dropout_range(const random::Key& key, std::uint64_t position, DropoutRate rate, const float* x,
                                     float* y, bool accumulate, std::size_t begin, std::size_t end) {
  const std::uint32_t low = static_cast<std::uint32_t>(position), high = static_cast<std::uint32_t>(position >> 32);
  const std::uint32_t use = (static_cast<std::uint32_t>(key.use) << 28) | key.layer;
  const __m256i m0 = _mm256_set1_epi32(static_cast<int>(0xD2511F53u)),
                m1 = _mm256_set1_epi32(static_cast<int>(0xCD9E8D57u));
  const __m256i threshold = _mm256_set1_epi32(static_cast<int>(rate.threshold) ^ sign_bit);
  const __m256 scale = splat(rate.scale);
  std::size_t i = begin;
  for (; i + 32 <= end; i += 32) {
    __m256i c0 =
        _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(i / 4)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i c1 = _mm256_set1_epi32(static_cast<int>(low));
    __m256i c2 = _mm256_set1_epi32(static_cast<int>(key.step));
    __m256i c3 = _mm256_set1_epi32(static_cast<int>(use));
    std::uint32_t k0 = static_cast<std::uint32_t>(key.seed) ^ (high * 0x85EBCA6Bu),
                  k1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const Products p0 = multiply(c0, m0), p1 = multiply(c2, m1);
      c0 = _mm256_xor_si256(_mm256_xor_si256(p1.high, c1), _mm256_set1_epi32(static_cast<int>(k0)));
      c2 = _mm256_xor_si256(_mm256_xor_si256(p0.high, c3), _mm256_set1_epi32(static_cast<int>(k1)));
      c1 = p1.low;
      c3 = p0.low;
    }
    // Lane j of c0 .. c3 belongs to block j. Four consecutive elements use the four words of one block.
    const __m256i t0 = _mm256_unpacklo_epi32(c0, c1), t1 = _mm256_unpackhi_epi32(c0, c1);
    const __m256i t2 = _mm256_unpacklo_epi32(c2, c3), t3 = _mm256_unpackhi_epi32(c2, c3);
    const __m256i u0 = _mm256_unpacklo_epi64(t0, t2), u1 = _mm256_unpackhi_epi64(t0, t2);  // blocks 0 and 4, 1 and 5
    const __m256i u2 = _mm256_unpacklo_epi64(t1, t3), u3 = _mm256_unpackhi_epi64(t1, t3);  // 2 and 6, 3 and 7
    keep(_mm256_permute2x128_si256(u0, u1, 0x20), threshold, scale, x + i, y + i, accumulate);
    keep(_mm256_permute2x128_si256(u2, u3, 0x20), threshold, scale, x + i + 8, y + i + 8, accumulate);
    keep(_mm256_permute2x128_si256(u0, u1, 0x31), threshold, scale, x + i + 16, y + i + 16, accumulate);
    keep(_mm256_permute2x128_si256(u2, u3, 0x31), threshold, scale, x + i + 24, y + i + 24, accumulate);
  }
  if (i < end) portable::dropout_range(key, position, rate, x, y, accumulate, i, end);
}

}  // namespace avx2
#endif

template <class T>
void dropout_samples(Cpu& dev, const StepState& step, std::uint32_t layer, DropoutRate rate, const T* x, T* y,
                     bool accumulate, int batch, std::size_t sample) {
  const random::Key key = step.key(random::Use::dropout, layer);
  const std::uint64_t first = step.first_sample;
  const std::size_t grain = 4096 / sample + 1;  // samples per task
  dev.parallel_chunks(static_cast<std::size_t>(batch), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      const T* const from = x + b * sample;
      T* const to = y + b * sample;
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (takes_avx2<T>(dev)) {
          avx2::dropout_range(key, first + b, rate, from, to, accumulate, 0, sample);
          continue;
        }
#endif
      portable::dropout_range(key, first + b, rate, from, to, accumulate, 0, sample);
    }
  });
}

/// y = x with each element dropped with probability num / den. `layer` distinguishes the masks of one step.
template <class T, int... D>
void dropout_forward(Cpu& dev, const StepState* step, std::uint32_t layer, std::type_identity_t<In<T, D...>> x, int num,
                     int den, Out<T, D...> y) {
  dropout_samples(dev, *step, layer, DropoutRate(num, den), x.data, y.data, false, y.batch, Out<T, D...>::sample);
}

/// The gradient, with the mask of the forward pass. `step` and `layer` must be the same as in dropout_forward.
template <class T, int... D>
void dropout_backward(Cpu& dev, const StepState* step, std::uint32_t layer, std::type_identity_t<In<T, D...>> dy,
                      int num, int den, Into<T, D...> dx) {
  if (dx)
    dropout_samples(dev, *step, layer, DropoutRate(num, den), dy.data, dx.data, dx.accumulate, dx.batch,
                    Out<T, D...>::sample);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
