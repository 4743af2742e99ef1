// Back through an activation that is known by its result, and the sums that a bias wants.
//   slope_and_sums   dy (rows, cols) *= f'(y);   sums (cols) = the column sums, or += them, unless null
// Strategy  a task owns a panel of 16 columns of a chunk of rows; at most 16 chunks, of 512 rows at least, added in order.
// Cost      12 bytes a value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/activation.hpp"
#include "tenon/cpu/gemm_tile.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

inline constexpr int slope_chunks = 16, slope_chunk = 512;

/// Values of T in `work`.
constexpr std::size_t slope_workspace(int cols) {
  return static_cast<std::size_t>(slope_chunks) * static_cast<std::size_t>(cols);
}

namespace portable {

/// dy *= f'(y) for rows of `cols` values, `row` apart; sums (cols) = their sums, or += them.
template <Act A, class T>
void slope_and_sums(T* dy, const T* y, int rows, int cols, std::ptrdiff_t row, T* sums, bool add) {
  for (int j = 0; j < cols; ++j) {
    T s = sums && add ? sums[j] : T(0);
    for (int i = 0; i < rows; ++i) {
      T& d = dy[i * row + j];
      if constexpr (A.kind != Activation::none) d *= Activate<A>::slope(T(0), y[i * row + j]);
      s += d;
    }
    if (sums) sums[j] = s;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

template <Act A>
struct SlopeAndSums {
  float* dy;
  const float* y;
  int rows;
  std::ptrdiff_t row;
  float* sums;
  bool add;
  TENON_AVX2_INLINE void operator()(std::size_t j, auto live) {
    __m256 s = sums && add ? load(sums + j, live) : _mm256_setzero_ps();
    for (int i = 0; i < rows; ++i) {
      __m256 d = load(dy + i * row + j, live);
      if constexpr (A.kind != Activation::none) {
        d = _mm256_mul_ps(d, Activate<A>::slope(_mm256_setzero_ps(), load(y + i * row + j, live)));
        store(dy + i * row + j, live, d);
      }
      s = _mm256_add_ps(s, d);
    }
    if (sums) store(sums + j, live, s);
  }
};

template <Act A>
TENON_AVX2 void slope_and_sums(float* dy, const float* y, int rows, int cols, std::ptrdiff_t row, float* sums,
                               bool add) {
  SlopeAndSums<A> step{dy, y, rows, row, sums, add};
  for_each_vector(0, static_cast<std::size_t>(cols), step);
}

}  // namespace avx2
#endif

/// The same on this thread, for rows that lie `row` apart.
template <Act A, class T>
void slope_and_sums_here([[maybe_unused]] const Cpu& dev, T* dy, const T* y, int rows, int cols, std::ptrdiff_t row,
                         T* sums, bool add) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::slope_and_sums<A>(dy, y, rows, cols, row, sums, add);
#endif
  portable::slope_and_sums<A>(dy, y, rows, cols, row, sums, add);
}

/// dy (rows, cols) *= f'(y); sums (cols), unless null, = the column sums, or += them. `work` holds 16 rows.
/// A task owns a panel of columns of a chunk of rows; chunks are added in order.
template <Act A, class T>
void slope_and_sums(Cpu& dev, T* dy, const T* y, int rows, int cols, T* sums, bool add, T* work) {
  const int even = (rows + slope_chunks - 1) / slope_chunks, chunk = even < slope_chunk ? slope_chunk : even;
  const int chunks = (rows + chunk - 1) / chunk, across = panels(cols);
  dev.parallel(chunks * across, [&](int task, int) {
    const int c = task / across, i = c * chunk, j = task % across * panel;
    const int n = rows - i < chunk ? rows - i : chunk, width = cols - j < panel ? cols - j : panel;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * cols + j;
    T* const to = !sums ? nullptr : chunks == 1 ? sums + j : work + static_cast<std::ptrdiff_t>(c) * cols + j;
    const bool adds = chunks == 1 && add;
    slope_and_sums_here<A>(dev, dy + at, y ? y + at : nullptr, n, width, cols, to, adds);
  });
  if (sums && chunks > 1)
    for (int j = 0; j < cols; ++j) {
      T s = add ? sums[j] : T(0);
      for (int c = 0; c < chunks; ++c) s += work[static_cast<std::ptrdiff_t>(c) * cols + j];
      sums[j] = s;
    }
}

}  // namespace tenon::kernels
