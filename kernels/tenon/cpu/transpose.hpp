// Transposes a matrix in memory, and packs rows into the panels that a matrix product reads.
//   transpose    x (rows, cols) -> y (cols, rows), or added to y
//   pack_rows    w (n, k) -> panels (n / 16, k, 16), padded with rows of zeros
// Strategy  8 x 8 blocks in registers. A panel is 16 rows and is written in order.
// Cost      8 bytes per value, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/gemm_tile.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace portable {

template <class T>
void transpose(const T* x, int rows, int cols, std::ptrdiff_t x_row, T* y, std::ptrdiff_t y_row, bool accumulate) {
  for (int c = 0; c < cols; ++c)
    for (int r = 0; r < rows; ++r)
      y[c * y_row + r] = accumulate ? y[c * y_row + r] + x[r * x_row + c] : x[r * x_row + c];
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

/// v[i] lane j <-> v[j] lane i
TENON_AVX2_INLINE void transpose_8x8(__m256 (&v)[8]) {
  __m256 a[8], b[8];
  TENON_UNROLL
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  TENON_UNROLL
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
  TENON_UNROLL
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

/// y (8, 8) = x (8, 8)^T, or += it.
TENON_AVX2_INLINE void transpose_8x8(const float* x, std::ptrdiff_t x_row, float* y, std::ptrdiff_t y_row,
                                     bool accumulate) {
  __m256 v[8];
  TENON_UNROLL
  for (int i = 0; i < 8; ++i) v[i] = _mm256_loadu_ps(x + i * x_row);
  transpose_8x8(v);
  if (accumulate) {
    TENON_UNROLL
    for (int i = 0; i < 8; ++i) v[i] = _mm256_add_ps(_mm256_loadu_ps(y + i * y_row), v[i]);
  }
  TENON_UNROLL
  for (int i = 0; i < 8; ++i) _mm256_storeu_ps(y + i * y_row, v[i]);
}

TENON_AVX2 inline void transpose(const float* x, int rows, int cols, std::ptrdiff_t x_row, float* y,
                                 std::ptrdiff_t y_row, bool accumulate) {
  const int whole_rows = rows / lanes * lanes, whole_cols = cols / lanes * lanes;
  for (int r = 0; r < whole_rows; r += lanes)
    for (int c = 0; c < whole_cols; c += lanes)
      transpose_8x8(x + r * x_row + c, x_row, y + c * y_row + r, y_row, accumulate);
  if (whole_cols < cols)
    portable::transpose(x + whole_cols, whole_rows, cols - whole_cols, x_row, y + whole_cols * y_row, y_row,
                        accumulate);
  if (whole_rows < rows)
    portable::transpose(x + whole_rows * x_row, rows - whole_rows, cols, x_row, y + whole_rows, y_row, accumulate);
}

}  // namespace avx2
#endif

/// y (cols, rows) = x (rows, cols)^T, or += it; rows of x and y are x_row and y_row apart.
template <class T>
void transpose([[maybe_unused]] const Cpu& dev, const T* x, int rows, int cols, std::ptrdiff_t x_row, T* y,
               std::ptrdiff_t y_row, bool accumulate) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::transpose(x, rows, cols, x_row, y, y_row, accumulate);
#endif
  portable::transpose(x, rows, cols, x_row, y, y_row, accumulate);
}

/// Packs w (n, k), whose rows are contiguous, into panels (n / 16, k, 16). A task owns up to 16 rows of 1024 values.
template <class T>
void pack_rows(Cpu& dev, const T* w, int n, int k, T* to) {
  constexpr int max = 1024;
  const int across = (k + max - 1) / max;
  dev.parallel(panels(n) * across, [&](int task, int) {
    const int row = task / across * panel, begin = task % across * max;
    const int rows = n - row < panel ? n - row : panel, columns = k - begin < max ? k - begin : max;
    const T* const from = w + static_cast<std::ptrdiff_t>(row) * k + begin;
    T* const out = to + static_cast<std::ptrdiff_t>(row) * k + static_cast<std::ptrdiff_t>(begin) * panel;
    for (int c = 0; rows < panel && c < columns; ++c)
      for (int r = rows; r < panel; ++r) out[c * panel + r] = T(0);
    transpose(dev, from, rows, columns, k, out, panel, false);
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
