// Matrix products: C (M, N) = f(A (M, K) B (K, N) + bias), or C += A B.
//   A    any strides: element (m, k) at a[m * row + k * step]; it is read one element at a time and broadcast
//   B    rows of 16 consecutive columns: (k, j .. j + 15) at b[k * step + j]; packed panels of 16 or a row-major matrix
// Strategy  a tile of 6 x 16 values of C stays in 12 vector registers over the whole of K, which is never split, so
//           every element is one sum in the order of k. A task owns a block of C; blocks depend on M and N alone.
// Bound     FMA throughput: 12 independent chains hide a latency of 4 on two ports; 8 loads feed 12 FMAs.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/activation.hpp"
#include "tenon/cpu/eigen.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

/// One product. `panel` is the distance between two 16-wide column blocks of B.
template <class T>
struct Gemm {
  int m, n, k;
  const T* a;
  std::ptrdiff_t a_row, a_step;
  const T* b;
  std::ptrdiff_t b_step, panel;
  T* c;
  std::ptrdiff_t c_row;
  const T* bias = nullptr;  // (n), or null
  bool add = false;         // C += A B; then neither bias nor activation
};

inline constexpr int gemm_columns = 16;

/// Values of a B packed into panels: (ceil(n / 16), k, 16), zero where there is no column.
constexpr std::size_t gemm_packed(int n, int k) {
  return static_cast<std::size_t>(ceil_div(n, gemm_columns)) * static_cast<std::size_t>(k) * gemm_columns;
}

namespace portable {

// Eigen's fixed-size tiles: at most 32 x 16 of C, K in pieces of 256, always in the same order.
template <class T, Act A>
void gemm_block(const Gemm<T>& g, int m0, int m1, int n0, int n1) {
  using Eigen::Dynamic;
  using Strided = Eigen::Stride<Dynamic, Dynamic>;
  using Tile = Eigen::Matrix<T, Dynamic, Dynamic, Eigen::RowMajor, 32, gemm_columns>;
  for (int j = n0; j < n1; j += gemm_columns) {
    const int cols = n1 - j < gemm_columns ? n1 - j : gemm_columns;
    const T* const b = g.b + (j / gemm_columns) * g.panel;
    for (int i = m0; i < m1; i += 32) {
      const int rows = m1 - i < 32 ? m1 - i : 32;
      Tile acc = Tile::Zero(rows, cols);
      for (int k = 0; k < g.k; k += 256) {
        const int depth = g.k - k < 256 ? g.k - k : 256;
        const Eigen::Map<const Eigen::Matrix<T, Dynamic, Dynamic, Eigen::RowMajor>, 0, Strided> a(
            g.a + i * g.a_row + k * g.a_step, rows, depth, Strided(g.a_row, g.a_step));
        const Eigen::Map<const Eigen::Matrix<T, Dynamic, Dynamic, Eigen::RowMajor>, 0, Strided> bk(
            b + k * g.b_step, depth, cols, Strided(g.b_step, 1));
        acc.noalias() += a.lazyProduct(bk);
      }
      for (int r = 0; r < rows; ++r) {
        T* const c = g.c + (i + r) * g.c_row + j;
        for (int s = 0; s < cols; ++s) {
          if (g.add) c[s] += acc(r, s);
          else c[s] = Activate<A>::of(g.bias ? acc(r, s) + g.bias[j + s] : acc(r, s));
        }
      }
    }
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

#if defined(__clang__)
#define TENON_UNROLL _Pragma("unroll")
#else
#define TENON_UNROLL _Pragma("GCC unroll 16")
#endif

template <int R>
struct Tile {
  __m256 v[R][2];
};

/// R x 16 sums over k, in registers.
template <int R, bool Masked>
TENON_AVX2_INLINE Tile<R> gemm_tile(int k, const float* a, std::ptrdiff_t a_row, std::ptrdiff_t a_step, const float* b,
                                    std::ptrdiff_t b_step, __m256i m0, __m256i m1) {
  Tile<R> t;
  TENON_UNROLL
  for (int r = 0; r < R; ++r) t.v[r][0] = t.v[r][1] = _mm256_setzero_ps();
  for (int i = 0; i < k; ++i, a += a_step, b += b_step) {
    const __m256 b0 = Masked ? _mm256_maskload_ps(b, m0) : _mm256_loadu_ps(b);
    const __m256 b1 = Masked ? _mm256_maskload_ps(b + 8, m1) : _mm256_loadu_ps(b + 8);
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m256 ar = _mm256_broadcast_ss(a + r * a_row);
      t.v[r][0] = _mm256_fmadd_ps(ar, b0, t.v[r][0]);
      t.v[r][1] = _mm256_fmadd_ps(ar, b1, t.v[r][1]);
    }
  }
  return t;
}

template <int R, Act A, bool Masked>
TENON_AVX2 inline void gemm_rows(const Gemm<float>& g, int i, int j, int cols) {
  const float* const b = g.b + (j / gemm_columns) * g.panel;
  const __m256i m0 = first(cols), m1 = first(cols - 8);
  const Tile<R> t = gemm_tile<R, Masked>(g.k, g.a + i * g.a_row, g.a_row, g.a_step, b, g.b_step, m0, m1);
  __m256 bias0 = _mm256_setzero_ps(), bias1 = bias0;
  if (g.bias) {
    bias0 = _mm256_maskload_ps(g.bias + j, m0);
    bias1 = _mm256_maskload_ps(g.bias + j + 8, m1);
  }
  TENON_UNROLL
  for (int r = 0; r < R; ++r) {
    float* const c = g.c + (i + r) * g.c_row + j;
    __m256 v0 = t.v[r][0], v1 = t.v[r][1];
    if (g.add) {
      v0 = _mm256_add_ps(_mm256_maskload_ps(c, m0), v0);
      v1 = _mm256_add_ps(_mm256_maskload_ps(c + 8, m1), v1);
    } else {
      v0 = Activate<A>::of(_mm256_add_ps(v0, bias0));
      v1 = Activate<A>::of(_mm256_add_ps(v1, bias1));
    }
    if (cols == gemm_columns) {
      _mm256_storeu_ps(c, v0);
      _mm256_storeu_ps(c + 8, v1);
    } else {
      _mm256_maskstore_ps(c, m0, v0);
      _mm256_maskstore_ps(c + 8, m1, v1);
    }
  }
}

template <Act A, bool Masked>
TENON_AVX2 inline void gemm_panel(const Gemm<float>& g, int m0, int m1, int j, int cols) {
  int i = m0;
  for (; i + 6 <= m1; i += 6) gemm_rows<6, A, Masked>(g, i, j, cols);
  switch (m1 - i) {
    case 1: return gemm_rows<1, A, Masked>(g, i, j, cols);
    case 2: return gemm_rows<2, A, Masked>(g, i, j, cols);
    case 3: return gemm_rows<3, A, Masked>(g, i, j, cols);
    case 4: return gemm_rows<4, A, Masked>(g, i, j, cols);
    case 5: return gemm_rows<5, A, Masked>(g, i, j, cols);
    default: return;
  }
}

template <Act A>
TENON_AVX2 inline void gemm_block(const Gemm<float>& g, int m0, int m1, int n0, int n1) {
  for (int j = n0; j < n1; j += gemm_columns) {
    const int cols = n1 - j < gemm_columns ? n1 - j : gemm_columns;
    if (cols < gemm_columns && g.b_step != gemm_columns) gemm_panel<A, true>(g, m0, m1, j, cols);  // B ends here
    else gemm_panel<A, false>(g, m0, m1, j, cols);
  }
}

}  // namespace avx2
#endif

inline constexpr int gemm_task_rows = 48, gemm_task_columns = 64;  // about 40 us at depth 784

/// The whole product, in tasks of 48 x 64 of C.
template <Act A, class T>
void gemm(Cpu& dev, const Gemm<T>& g) {
  const int down = ceil_div(g.m, gemm_task_rows), across = ceil_div(g.n, gemm_task_columns);
  dev.parallel(down * across, [&](int task, int) {
    const int m0 = task / across * gemm_task_rows, n0 = task % across * gemm_task_columns;
    const int m1 = g.m - m0 < gemm_task_rows ? g.m : m0 + gemm_task_rows;
    const int n1 = g.n - n0 < gemm_task_columns ? g.n : n0 + gemm_task_columns;
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::gemm_block<A>(g, m0, m1, n0, n1);
#endif
    portable::gemm_block<T, A>(g, m0, m1, n0, n1);
  });
}

}  // namespace tenon::kernels
