// Backward pass of an activation whose derivative follows from its output, and the column sums for the gradient of a bias.
//   derivative_and_sums   dy (rows, cols) *= f'(y);   sums (cols) = the column sums, or += them, unless null
// Strategy  a task owns a panel of 16 columns of a chunk of rows. There are at most 16 chunks, of at least 512 rows. Their
//           sums are added in order.
// Cost      12 bytes per value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/activation.hpp"
#include "tenon/cpu/gemm_tile.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr int derivative_chunks = 16, derivative_chunk = 512;

/// Values of T in `work`.
constexpr std::size_t derivative_workspace(int cols) {
  return static_cast<std::size_t>(derivative_chunks) * static_cast<std::size_t>(cols);
}

namespace portable {

/// dy *= f'(y) for rows of `cols` values, `row` apart; sums (cols) = their sums, or += them.
template <Activation A, class T>
void derivative_and_sums(T* dy, const T* y, int rows, int cols, std::ptrdiff_t row, T* sums, bool accumulate) {
  for (int j = 0; j < cols; ++j) {
    T s = sums && accumulate ? sums[j] : T(0);
    for (int i = 0; i < rows; ++i) {
      T& d = dy[i * row + j];
      if constexpr (A.kind != Activation::none) d *= ActivationFunction<A>::derivative(T(0), y[i * row + j]);
      s += d;
    }
    if (sums) sums[j] = s;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

template <Activation A>
struct SlopeAndSums {
  float* dy;
  const float* y;
  int rows;
  std::ptrdiff_t row;
  float* sums;
  bool accumulate;
  TENON_AVX2_INLINE void operator()(std::size_t j, auto live) {
    __m256 s = sums && accumulate ? load(sums + j, live) : _mm256_setzero_ps();
    for (int i = 0; i < rows; ++i) {
      __m256 d = load(dy + i * row + j, live);
      if constexpr (A.kind != Activation::none) {
        d = _mm256_mul_ps(d, ActivationFunction<A>::derivative(_mm256_setzero_ps(), load(y + i * row + j, live)));
        store(dy + i * row + j, live, d);
      }
      s = _mm256_add_ps(s, d);
    }
    if (sums) store(sums + j, live, s);
  }
};

template <Activation A>
TENON_AVX2 void derivative_and_sums(float* dy, const float* y, int rows, int cols, std::ptrdiff_t row, float* sums,
                                    bool accumulate) {
  SlopeAndSums<A> step{dy, y, rows, row, sums, accumulate};
  for_each_vector(0, static_cast<std::size_t>(cols), step);
}

}  // namespace avx2
#endif

/// The same on the calling thread, for rows that are `row` apart.
template <Activation A, class T>
void derivative_and_sums_here([[maybe_unused]] const Cpu& dev, T* dy, const T* y, int rows, int cols,
                              std::ptrdiff_t row, T* sums, bool accumulate) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::derivative_and_sums<A>(dy, y, rows, cols, row, sums, accumulate);
#endif
  portable::derivative_and_sums<A>(dy, y, rows, cols, row, sums, accumulate);
}

/// dy (rows, cols) *= f'(y); sums (cols), unless null, = the column sums, or += them. `work` holds 16 rows of sums.
/// A task owns a panel of columns of a chunk of rows. The sums of the chunks are added in order.
template <Activation A, class T>
void derivative_and_sums(Cpu& dev, T* dy, const T* y, int rows, int cols, T* sums, bool accumulate, T* work) {
  const int even = (rows + derivative_chunks - 1) / derivative_chunks,
            chunk = even < derivative_chunk ? derivative_chunk : even;
  const int chunks = (rows + chunk - 1) / chunk, across = panels(cols);
  dev.parallel(chunks * across, [&](int task, int) {
    const int c = task / across, i = c * chunk, j = task % across * panel;
    const int n = rows - i < chunk ? rows - i : chunk, width = cols - j < panel ? cols - j : panel;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * cols + j;
    T* const to = !sums ? nullptr : chunks == 1 ? sums + j : work + static_cast<std::ptrdiff_t>(c) * cols + j;
    const bool adds = chunks == 1 && accumulate;
    derivative_and_sums_here<A>(dev, dy + at, y ? y + at : nullptr, n, width, cols, to, adds);
  });
  if (sums && chunks > 1)
    for (int j = 0; j < cols; ++j) {
      T s = accumulate ? sums[j] : T(0);
      for (int c = 0; c < chunks; ++c) s += work[static_cast<std::ptrdiff_t>(c) * cols + j];
      sums[j] = s;
    }
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
