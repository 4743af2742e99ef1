// Matrix products: C (M, N) = f(start + A (M, K) B (K, N)).
//   A   element (m, k) at a[m * a_row + k * a_k]; one of the two strides is 1
//   B   16 columns side by side, a panel: (k, 16 p + j) at b[p * b_panel + k * b_k + j]. Packed, (N / 16, K, 16), the
//       panels are K * 16 apart and their rows 16; a row-major matrix will do as it is: 16 and N.
//   start   zero, a bias (rows 0 apart), or C itself, to be added to
// Strategy  tiles of 6 x 16 (gemm_tile.hpp) over K in blocks of 2048. Every element is one sum in the order of k, begun
//           at `start`: its bits depend on neither tiles nor tasks. A task owns a block of C, cut by M, N and K alone.
// Cost      2 M N K operations; 0.9 of the FMA peak from about 128 x 16 x 128 on (bench/kernels/gemm.cpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/activation.hpp"
#include "tenon/cpu/eigen.hpp"
#include "tenon/cpu/gemm_tile.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

template <class T>
struct Gemm {
  int m, n, k;
  const T* a;
  std::ptrdiff_t a_row, a_k;
  const T* b;
  std::ptrdiff_t b_panel, b_k;
  T* c;
  std::ptrdiff_t c_row;
  const T* start = nullptr;
  std::ptrdiff_t start_row = 0;
};

/// Values of a (K, N) matrix B in panels: (N / 16, K, 16), zero where there is no column.
constexpr std::size_t gemm_packed(int n, int k) {
  return static_cast<std::size_t>(panels(n)) * static_cast<std::size_t>(k) * panel;
}

/// How C is cut into tasks: blocks of `rows` x `columns` (of panels), each some microseconds long.
struct GemmTasks {
  int rows, columns, across, count;

  constexpr GemmTasks(int m, int n, int k) : rows(m < 1 ? 1 : m < most_rows ? m : most_rows), columns(1), across(0), count(0) {
    const auto cost = [&](int r) { return static_cast<long long>(r < 3 ? 3 : r) * (k < 1 ? 1 : k); };  // in cycles of a panel
    while (rows > 2 * least_rows && cost(rows) > longest) rows = (rows + 1) / 2;
    columns = cost(rows) < shortest ? static_cast<int>((shortest + cost(rows) - 1) / cost(rows)) : 1;
    if (rows < 3) columns = (columns + 3) / 4 * 4;  // a single row takes four panels side by side
    if (columns > panels(n)) columns = panels(n);
    across = panels(n) / columns + (panels(n) % columns != 0);
    count = across * ((m + rows - 1) / rows);
  }

 private:
  static constexpr int most_rows = 128, least_rows = 32;
  static constexpr long long shortest = 1 << 14, longest = 1 << 17;  // cycles: 5 and 40 us
};

namespace portable {

// Eigen's product of at most 32 x 16 x 256, which allocates nothing and adds in the same order everywhere.
template <int Order, class T>
void gemm_add(int m, int n, int k, const T* a, std::ptrdiff_t lda, const T* b, std::ptrdiff_t ldb, T* c, std::ptrdiff_t ldc) {
  using namespace Eigen;
  const Map<const Matrix<T, Dynamic, Dynamic, Order, 32, 256>, 0, OuterStride<>> A(a, m, k, OuterStride<>(lda));
  const Map<const Matrix<T, Dynamic, Dynamic, RowMajor, 256, 16>, 0, OuterStride<>> B(b, k, n, OuterStride<>(ldb));
  Map<Matrix<T, Dynamic, Dynamic, RowMajor, 32, 16>, 0, OuterStride<>> C(c, m, n, OuterStride<>(ldc));
  C.noalias() += A * B;
}

template <Act A, class T>
void gemm_block(const Gemm<T>& g, int m0, int m1, int p0, int p1) {
  for (int p = p0; p < p1; ++p) {
    const int cols = g.n - p * panel < panel ? g.n - p * panel : panel;
    for (int i = m0; i < m1; i += 32) {
      const int rows = m1 - i < 32 ? m1 - i : 32;
      T* const c = g.c + i * g.c_row + p * panel;
      const T* const start = g.start ? g.start + i * g.start_row + p * panel : nullptr;
      for (int r = 0; r < rows; ++r)
        for (int j = 0; j < cols; ++j) c[r * g.c_row + j] = start ? start[r * g.start_row + j] : T(0);
      for (int k = 0; k < g.k; k += 256) {
        const int depth = g.k - k < 256 ? g.k - k : 256;
        const T* const a = g.a + i * g.a_row + k * g.a_k;
        const T* const b = g.b + p * g.b_panel + k * g.b_k;
        if (g.a_k == 1) gemm_add<Eigen::RowMajor>(rows, cols, depth, a, g.a_row, b, g.b_k, c, g.c_row);
        else gemm_add<Eigen::ColMajor>(rows, cols, depth, a, g.a_k, b, g.b_k, c, g.c_row);
      }
      if constexpr (A.kind != Activation::none)
        for (int r = 0; r < rows; ++r)
          for (int j = 0; j < cols; ++j) c[r * g.c_row + j] = Activate<A>::of(c[r * g.c_row + j]);
    }
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

inline constexpr int gemm_depth = 2048;

/// R rows from i and P panels from p, for k in [k0, k1).
template <int R, int P, Act A, class Low, class High>
TENON_AVX2_INLINE void gemm_rows(const Gemm<float>& g, int i, int p, int k0, int k1, Low low, High high) {
  const float* a[R];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) a[r] = g.a + (i + r) * g.a_row + k0 * g.a_k;
  float* const c = g.c + i * g.c_row + p * panel;
  Tile<R, P> tile;
  if (k0 > 0) tile.start(c, g.c_row, low, high);
  else tile.start(g.start ? g.start + i * g.start_row + p * panel : nullptr, g.start_row, low, high);
  tile.multiply(a, Stride{g.a_k}, k1 - k0, g.b + p * g.b_panel + k0 * g.b_k, g.b_panel, g.b_k, low, high);
  if (k1 == g.k) tile.template finish<A>(c, g.c_row, low, high);
  else tile.template finish<Act{}>(c, g.c_row, low, high);
}

/// Rows [m0, m1) of panel p.
template <Act A, class Low, class High>
TENON_AVX2 void gemm_panel(const Gemm<float>& g, int m0, int m1, int p, int k0, int k1, Low low, High high) {
  const EvenSplit tiles(m1 - m0);
  for (int t = 0, i = m0; t < tiles.parts; ++t) {
    const int end = m0 + tiles.begin(t + 1);
    switch (end - i) {
      case 1: gemm_rows<1, 1, A>(g, i, p, k0, k1, low, high); break;
      case 2: gemm_rows<2, 1, A>(g, i, p, k0, k1, low, high); break;
      case 3: gemm_rows<3, 1, A>(g, i, p, k0, k1, low, high); break;
      case 4: gemm_rows<4, 1, A>(g, i, p, k0, k1, low, high); break;
      case 5: gemm_rows<5, 1, A>(g, i, p, k0, k1, low, high); break;
      default: gemm_rows<6, 1, A>(g, i, p, k0, k1, low, high);
    }
    i = end;
  }
}

/// Rows [m0, m1) of panels [p0, p1).
template <Act A>
TENON_AVX2 void gemm_block(const Gemm<float>& g, int m0, int m1, int p0, int p1) {
  for (int k0 = 0; k0 == 0 || k0 < g.k; k0 += gemm_depth) {
    const int k1 = g.k - k0 < gemm_depth ? g.k : k0 + gemm_depth;
    int p = p0;
    // One row or two have too few sums to hide an addition's latency: more panels side by side.
    if (m1 - m0 == 1)
      for (; p + 4 <= p1 && (p + 4) * panel <= g.n; p += 4) gemm_rows<1, 4, A>(g, m0, p, k0, k1, Whole{}, Whole{});
    if (m1 - m0 == 2)
      for (; p + 2 <= p1 && (p + 2) * panel <= g.n; p += 2) gemm_rows<2, 2, A>(g, m0, p, k0, k1, Whole{}, Whole{});
    for (; p < p1; ++p) {
      const int columns = g.n - p * panel;
      if (columns >= panel) gemm_panel<A>(g, m0, m1, p, k0, k1, Whole{}, Whole{});
      else gemm_panel<A>(g, m0, m1, p, k0, k1, Part{first(columns)}, Part{first(columns - lanes)});
    }
  }
}

}  // namespace avx2
#endif

/// Rows [m0, m1) of panels [p0, p1) of the product, on this thread.
template <Act A, class T>
void gemm_range(const Cpu& dev, const Gemm<T>& g, int m0, int m1, int p0, int p1) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::gemm_block<A>(g, m0, m1, p0, p1);
#endif
  portable::gemm_block<A>(g, m0, m1, p0, p1);
}

/// One task of the product.
template <Act A, class T>
void gemm_task(const Cpu& dev, const Gemm<T>& g, const GemmTasks& tasks, int task) {
  const int m0 = task / tasks.across * tasks.rows, p0 = task % tasks.across * tasks.columns;
  const int m1 = g.m - m0 < tasks.rows ? g.m : m0 + tasks.rows;
  const int p1 = panels(g.n) - p0 < tasks.columns ? panels(g.n) : p0 + tasks.columns;
  gemm_range<A>(dev, g, m0, m1, p0, p1);
}

template <Act A, class T>
void gemm(Cpu& dev, const Gemm<T>& g) {
  const GemmTasks tasks(g.m, g.n, g.k);
  dev.parallel(tasks.count, [&](int task, int) { gemm_task<A>(dev, g, tasks, task); });
}

}  // namespace tenon::kernels
