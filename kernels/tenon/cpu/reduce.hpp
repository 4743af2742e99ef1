// Reductions over flat memory.
//   sum_of_squares   x (n) -> double, the same bits for any number of threads; cannot overflow for floats
//   all_finite       x (n) -> true if no element is infinite or NaN; tests bits, so no compiler flag can remove it
// Strategy  n alone determines the chunks. Sums are in double and are combined in one tree.
// Cost      4 bytes per element, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/math.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

using math::is_finite;

namespace portable {

template <class T>
double sum_of_squares_range(const T* x, std::size_t begin, std::size_t end) {
  double lane[4] = {};
  std::size_t i = begin;
  for (; i + 4 <= end; i += 4)
    for (std::size_t k = 0; k < 4; ++k) lane[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  for (; i < end; ++i) lane[i % 4] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

template <class T>
bool all_finite_range(const T* x, std::size_t begin, std::size_t end) {
  bool good = true;
  for (std::size_t i = begin; i < end; ++i) good &= is_finite(x[i]);
  return good;
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

TENON_AVX2 inline double sum_of_squares_range(const float* x, std::size_t begin, std::size_t end) {
  Doubles even{}, odd{};
  std::size_t i = begin;
  for (; i + 2 * lanes <= end; i += 2 * lanes) {
    const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + lanes);
    even.add_product(a, a);
    odd.add_product(b, b);
  }
  return (even.sum() + odd.sum()) + portable::sum_of_squares_range(x, i, end);
}

TENON_AVX2 inline bool all_finite_range(const float* x, std::size_t begin, std::size_t end) {
  const __m256i exponent = _mm256_set1_epi32(0x7f800000);
  __m256i bad = _mm256_setzero_si256();
  std::size_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    const __m256i e = _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), exponent);
    bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(e, exponent));
  }
  return _mm256_testz_si256(bad, bad) && portable::all_finite_range(x, i, end);
}

}  // namespace avx2
#endif

/// The sum of x[i]^2.
template <class T>
double sum_of_squares(Cpu& dev, Span<const T> x) {
  const Chunks chunks(x.size, 16384);
  double partial[Chunks::max];
  dev.parallel(chunks.count, [&](int chunk, int) {
    const std::size_t begin = chunks.begin(chunk), end = chunks.end(chunk);
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return void(partial[chunk] = avx2::sum_of_squares_range(x.data, begin, end));
#endif
    partial[chunk] = portable::sum_of_squares_range(x.data, begin, end);
  });
  return tree_sum(partial, chunks.count);
}

/// True if every element is finite.
template <class T>
bool all_finite(Cpu& dev, Span<const T> x) {
  const Chunks chunks(x.size, 16384);
  bool good[Chunks::max];
  dev.parallel(chunks.count, [&](int chunk, int) {
    const std::size_t begin = chunks.begin(chunk), end = chunks.end(chunk);
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return void(good[chunk] = avx2::all_finite_range(x.data, begin, end));
#endif
    good[chunk] = portable::all_finite_range(x.data, begin, end);
  });
  for (int c = 0; c < chunks.count; ++c)
    if (!good[c]) return false;
  return true;
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
