// Linear: y = f(x w^T + b), and its gradients.
//   x (B, I)   w (O, I)   b (O) or null   ->   y (B, O)
//   dz = dy f'(y), written over dy;   dx = dz w   dw = dz^T x   db = column sums of dz
// Strategy  three products of 6 x 16 tiles (gemm.hpp). Forward wants w by columns, so it is transposed into panels
//           whenever it has changed; the gradients read their operands where they lie.
// Cost      2 B I O operations each.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/gemm.hpp"

namespace tenon::kernels {

constexpr std::size_t linear_packed(int in, int out) { return gemm_packed(out, in); }

namespace portable {

template <class T>
void transpose_panel(const T* w, std::ptrdiff_t row, int k, int cols, T* to) {
  for (int i = 0; i < k; ++i)
    for (int j = 0; j < gemm_columns; ++j) to[i * gemm_columns + j] = j < cols ? w[j * row + i] : T(0);
}

template <class T>
void scale_by_slope(T* dy, const T* y, std::size_t begin, std::size_t end, auto slope) {
  for (std::size_t i = begin; i < end; ++i) dy[i] *= slope(y[i]);
}

template <class T>
void column_sums(const T* z, int rows, std::ptrdiff_t row, int begin, int end, T* sums, bool add) {
  for (int j = begin; j < end; ++j) {
    T s = 0;
    for (int i = 0; i < rows; ++i) s += z[i * row + j];
    sums[j] = add ? sums[j] + s : s;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

/// Eight rows of eight values, transposed.
TENON_AVX2_INLINE void transpose_8x8(const float* from, std::ptrdiff_t row, float* to, std::ptrdiff_t to_row) {
  const __m256 r0 = _mm256_loadu_ps(from), r1 = _mm256_loadu_ps(from + row);
  const __m256 r2 = _mm256_loadu_ps(from + 2 * row), r3 = _mm256_loadu_ps(from + 3 * row);
  const __m256 r4 = _mm256_loadu_ps(from + 4 * row), r5 = _mm256_loadu_ps(from + 5 * row);
  const __m256 r6 = _mm256_loadu_ps(from + 6 * row), r7 = _mm256_loadu_ps(from + 7 * row);
  const __m256 a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1);
  const __m256 a2 = _mm256_unpacklo_ps(r2, r3), a3 = _mm256_unpackhi_ps(r2, r3);
  const __m256 a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5);
  const __m256 a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
  const __m256 b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xEE);
  const __m256 b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xEE);
  const __m256 b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xEE);
  const __m256 b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xEE);
  _mm256_storeu_ps(to, _mm256_permute2f128_ps(b0, b4, 0x20));
  _mm256_storeu_ps(to + to_row, _mm256_permute2f128_ps(b1, b5, 0x20));
  _mm256_storeu_ps(to + 2 * to_row, _mm256_permute2f128_ps(b2, b6, 0x20));
  _mm256_storeu_ps(to + 3 * to_row, _mm256_permute2f128_ps(b3, b7, 0x20));
  _mm256_storeu_ps(to + 4 * to_row, _mm256_permute2f128_ps(b0, b4, 0x31));
  _mm256_storeu_ps(to + 5 * to_row, _mm256_permute2f128_ps(b1, b5, 0x31));
  _mm256_storeu_ps(to + 6 * to_row, _mm256_permute2f128_ps(b2, b6, 0x31));
  _mm256_storeu_ps(to + 7 * to_row, _mm256_permute2f128_ps(b3, b7, 0x31));
}

/// A whole panel: 16 rows of w, k values each, to (k, 16).
TENON_AVX2 inline void transpose_panel(const float* w, std::ptrdiff_t row, int k, float* to) {
  int i = 0;
  for (; i + lanes <= k; i += lanes) {
    transpose_8x8(w + i, row, to + i * gemm_columns, gemm_columns);
    transpose_8x8(w + 8 * row + i, row, to + i * gemm_columns + 8, gemm_columns);
  }
  for (; i < k; ++i)
    for (int j = 0; j < gemm_columns; ++j) to[i * gemm_columns + j] = w[j * row + i];
}

template <Act A>
TENON_AVX2 inline void scale_by_slope(float* dy, const float* y, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; i += lanes) {
    const __m256i live = first(end - i < lanes ? static_cast<int>(end - i) : lanes);
    const __m256 v = _mm256_maskload_ps(y + i, live);
    _mm256_maskstore_ps(dy + i, live, _mm256_mul_ps(_mm256_maskload_ps(dy + i, live), Activate<A>::slope(v, v)));
  }
}

TENON_AVX2 inline void column_sums(const float* z, int rows, std::ptrdiff_t row, int begin, int end, float* sums, bool add) {
  for (int j = begin; j < end; j += lanes) {
    const __m256i live = first(end - j);
    __m256 s = _mm256_setzero_ps();
    for (int i = 0; i < rows; ++i) s = _mm256_add_ps(s, _mm256_maskload_ps(z + i * row + j, live));
    if (add) s = _mm256_add_ps(s, _mm256_maskload_ps(sums + j, live));
    _mm256_maskstore_ps(sums + j, live, s);
  }
}

}  // namespace avx2
#endif

/// w (O, I) into panels (O / 16, I, 16), for forward.
template <class T, int I, int O>
void linear_prepare(Cpu& dev, In<T, O, I> w, Span<T> packed) {
  dev.parallel(ceil_div(O, gemm_columns), [&](int task, int) {
    const T* const from = w.data + static_cast<std::ptrdiff_t>(task) * gemm_columns * I;
    T* const to = packed.data + static_cast<std::ptrdiff_t>(task) * gemm_columns * I;
    const int cols = O - task * gemm_columns < gemm_columns ? O - task * gemm_columns : gemm_columns;
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev) && cols == gemm_columns) return avx2::transpose_panel(from, I, I, to);
#endif
    portable::transpose_panel(from, I, I, cols, to);
  });
}

template <class T, int I, int O, Fuse F>
void linear_forward(Cpu& dev, In<T, Batch, I> x, Span<const T> packed, In<T, O> b, Epilogue<F>, Out<T, Batch, O> y) {
  gemm<F.act>(dev, Gemm<T>{x.batch, O, I, x.data, I, 1, packed.data, gemm_columns, static_cast<std::ptrdiff_t>(I) * gemm_columns, y.data, O, b.data});
}

template <class T, int I, int O, Fuse F>
void linear_backward(Cpu& dev, In<T, Batch, I> x, In<T, O, I> w, In<T, Batch, O> y, Epilogue<F>, Out<T, Batch, O> dy,
                     Into<T, Batch, I> dx, Into<T, O, I> dw, Into<T, O> db) {
  if constexpr (F.act.kind != Activation::none)
    dev.parallel_chunks(dy.size(), 8192, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (takes_avx2<T>(dev)) return avx2::scale_by_slope<F.act>(dy.data, y.data, begin, end);
#endif
      portable::scale_by_slope(dy.data, y.data, begin, end, [](T v) { return Activate<F.act>::slope(v, v); });
    });
  if (db)
    dev.parallel(ceil_div(O, 64), [&](int task, int) {
      const int begin = task * 64, end = O - begin < 64 ? O : begin + 64;
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (takes_avx2<T>(dev)) return avx2::column_sums(dy.data, dy.batch, O, begin, end, db.data, db.add);
#endif
      portable::column_sums(dy.data, dy.batch, O, begin, end, db.data, db.add);
    });
  constexpr Act none{};
  if (dw) gemm<none>(dev, Gemm<T>{O, I, dy.batch, dy.data, 1, O, x.data, I, gemm_columns, dw.data, I, nullptr, dw.add});
  if (dx) gemm<none>(dev, Gemm<T>{dy.batch, I, O, dy.data, O, 1, w.data, I, gemm_columns, dx.data, I, nullptr, dx.add});
}

}  // namespace tenon::kernels
