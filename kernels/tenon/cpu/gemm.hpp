// Matrix products: C (M, N) = f(start + A (M, K) B (K, N)).
//   A   element (m, k) at a[m * a_row + k * a_k]; one of the two strides is 1
//   B   panels of 16 columns: element (k, 16 p + j) at b[p * b_panel + k * b_k + j]. Packed as (N / 16, K, 16): b_panel is
//       K * 16 and b_k is 16. A row-major matrix needs no packing: b_panel is 16 and b_k is N.
//   start   zero, a bias (start_row 0), or C itself, to add to C
// Strategy  tiles of 6 x 16 (gemm_tile.hpp). A task owns a block of C; the blocks depend on M, N and K only. Operands whose
//           rows are far apart are first copied to the worker's scratch, 256 of K at a time. With AVX2 every element is a
//           single sum in the order of k that begins at `start`, so its bits do not depend on blocks and copies. Eigen's
//           tiles have their own order.
// Cost      2 M N K operations, at 0.9 of the FMA peak if the operands fit the L2 cache (bench/kernels/gemm.cpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/activation.hpp"
#include "tenon/cpu/eigen.hpp"
#include "tenon/cpu/gemm_tile.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

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

/// Values of a (K, N) matrix B in panels: (N / 16, K, 16), padded with columns of zeros.
constexpr std::size_t gemm_packed(int n, int k) {
  return static_cast<std::size_t>(panels(n)) * static_cast<std::size_t>(k) * panel;
}

inline constexpr int gemm_rows_max = 128;  // rows of a task
inline constexpr int gemm_gathered = 256,
                     gemm_far = 256;  // maximum of K per copy; minimum a_k for a copy of A

/// Bytes of a worker's scratch if A is read by columns that are `a_k` apart. Without scratch nothing is copied.
template <class T>
constexpr std::size_t gemm_scratch(int a_k) {
  return std::is_same_v<T, float>
             ? sizeof(T) * gemm_gathered * static_cast<std::size_t>(panel + (a_k < gemm_far ? 0 : gemm_rows_max))
             : 0;
}

/// Splits C into tasks: blocks of `rows` rows and `columns` panels. The aim is 16 to 64 tasks, each of at least a few
/// microseconds.
struct GemmTasks {
  int rows, columns, across, count;

  constexpr GemmTasks(int m, int n, int k)
      : rows(m < 1               ? 1
             : m < gemm_rows_max ? m
                                 : gemm_rows_max),
        columns(1),
        across(0),
        count(0) {
    const auto cost = [&](int r) {
      return static_cast<long long>(r < 3 ? 3 : r) * (k < 1 ? 1 : k);
    };  // cycles per panel
    const auto tasks = [&] {
      return static_cast<long long>((m + rows - 1) / rows) * ((panels(n) + columns - 1) / columns);
    };
    while (tasks() < 16 && rows >= 64 && cost(rows / 2) >= shortest) rows = (rows + 1) / 2;
    if (cost(rows) < shortest) columns = static_cast<int>((shortest + cost(rows) - 1) / cost(rows));
    while (tasks() > 64 && columns < panels(n)) columns *= 2;
    if (rows < 3) columns = (columns + 3) / 4 * 4;  // a single row uses four panels at a time
    if (columns > panels(n)) columns = panels(n);
    across = (panels(n) + columns - 1) / (columns < 1 ? 1 : columns);
    count = across * ((m + rows - 1) / rows);
  }

 private:
  static constexpr long long shortest = 1 << 14;  // cycles: 5 us
};

namespace portable {

// c += a b with Eigen, at most 32 x 16 x 256. It allocates nothing and adds in the same order everywhere.
template <int Order, class T>
void gemm_add(int m, int n, int k, const T* a, std::ptrdiff_t lda, const T* b, std::ptrdiff_t ldb, T* c,
              std::ptrdiff_t ldc) {
  using namespace Eigen;
  const Map<const Matrix<T, Dynamic, Dynamic, Order, 32, 256>, 0, OuterStride<>> A(a, m, k, OuterStride<>(lda));
  const Map<const Matrix<T, Dynamic, Dynamic, RowMajor, 256, 16>, 0, OuterStride<>> B(b, k, n, OuterStride<>(ldb));
  Map<Matrix<T, Dynamic, Dynamic, RowMajor, 32, 16>, 0, OuterStride<>> C(c, m, n, OuterStride<>(ldc));
  C.noalias() += A * B;
}

template <Activation A, class T>
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
        if (g.a_k == 1)
          gemm_add<Eigen::RowMajor>(rows, cols, depth, a, g.a_row, b, g.b_k, c, g.c_row);
        else
          gemm_add<Eigen::ColMajor>(rows, cols, depth, a, g.a_k, b, g.b_k, c, g.c_row);
      }
      if constexpr (A.kind != Activation::none)
        for (int r = 0; r < rows; ++r)
          for (int j = 0; j < cols; ++j) c[r * g.c_row + j] = ActivationFunction<A>::of(c[r * g.c_row + j]);
    }
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

inline constexpr int gemm_depth = 2048;  // maximum of K at a time if operands are read in place

/// The start of a block's operands, and their strides.
struct GemmOperands {
  const float* a;
  std::ptrdiff_t a_row, a_k;
  const float* b;
  std::ptrdiff_t b_panel, b_k;
};

/// R rows from i on and P panels from p on, for k in [k0, k1). `from` points to the first elements of A and B.
template <int R, int P, Activation A, class Low, class High>
TENON_AVX2_INLINE void gemm_rows(const Gemm<float>& g, const GemmOperands& from, int i, int p, int k0, int k1, Low low,
                                 High high) {
  const float* a[R];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) a[r] = from.a + r * from.a_row;
  float* const c = g.c + i * g.c_row + p * panel;
  Tile<R, P> tile;
  if (k0 > 0)
    tile.start(c, g.c_row, low, high);
  else
    tile.start(g.start ? g.start + i * g.start_row + p * panel : nullptr, g.start_row, low, high);
  tile.multiply(a, GemmStrides{from.a_k}, k1 - k0, from.b, from.b_panel, from.b_k, low, high);
  if (k1 == g.k)
    tile.template finish<A>(c, g.c_row, low, high);
  else
    tile.template finish<Activation{}>(c, g.c_row, low, high);
}

/// Rows [m0, m1) of panel p.
template <Activation A, class Low, class High>
TENON_AVX2 void gemm_panel(const Gemm<float>& g, GemmOperands from, int m0, int m1, int p, int k0, int k1, Low low,
                           High high) {
  const EvenSplit tiles(m1 - m0);
  for (int t = 0, i = m0; t < tiles.parts; ++t) {
    const int end = m0 + tiles.begin(t + 1);
    switch (end - i) {
      case 1: gemm_rows<1, 1, A>(g, from, i, p, k0, k1, low, high); break;
      case 2: gemm_rows<2, 1, A>(g, from, i, p, k0, k1, low, high); break;
      case 3: gemm_rows<3, 1, A>(g, from, i, p, k0, k1, low, high); break;
      case 4: gemm_rows<4, 1, A>(g, from, i, p, k0, k1, low, high); break;
      case 5: gemm_rows<5, 1, A>(g, from, i, p, k0, k1, low, high); break;
      default: gemm_rows<6, 1, A>(g, from, i, p, k0, k1, low, high);
    }
    from.a += (end - i) * from.a_row;
    i = end;
  }
}

/// Copies n rows of a panel of B to contiguous memory.
template <class Low, class High>
TENON_AVX2_INLINE void gather_panel(const float* b, std::ptrdiff_t b_k, int n, float* to, Low low, High high) {
  for (int k = 0; k < n; ++k, b += b_k, to += panel) {
    _mm256_store_ps(to, load(b, low));
    _mm256_store_ps(to + lanes, load(b + lanes, high));
  }
}

/// Copies n columns of A of m rows, which are a_k apart, to columns that are `row` apart.
TENON_AVX2 inline void gather_columns(const float* a, std::ptrdiff_t a_k, int m, int n, float* to, int row) {
  for (int k = 0; k < n; ++k, a += a_k, to += row) {
    int i = 0;
    for (; i + lanes <= m; i += lanes) _mm256_storeu_ps(to + i, _mm256_loadu_ps(a + i));
    for (; i < m; ++i) to[i] = a[i];
  }
}

/// Rows [m0, m1) of panels [p0, p1). With scratch, operands that are far apart are first copied to it.
template <Activation A>
TENON_AVX2 void gemm_block(const Gemm<float>& g, int m0, int m1, int p0, int p1, float* scratch) {
  const bool gather_b = scratch && g.b_k != panel && m1 - m0 >= 32;
  const bool gather_a = scratch && g.a_row == 1 && g.a_k >= gemm_far && p1 - p0 >= 4;
  const int depth = gather_a || gather_b ? gemm_gathered : gemm_depth;
  float* const gathered_b = scratch;
  for (int k0 = 0; k0 == 0 || k0 < g.k; k0 += depth) {
    const int k1 = g.k - k0 < depth ? g.k : k0 + depth;
    GemmOperands from{g.a + m0 * g.a_row + k0 * g.a_k, g.a_row, g.a_k, nullptr, g.b_panel, g.b_k};
    if (gather_a) {
      float* const gathered_a = scratch + gemm_gathered * panel;
      gather_columns(from.a, g.a_k, m1 - m0, k1 - k0, gathered_a, gemm_rows_max);
      from.a = gathered_a;
      from.a_k = gemm_rows_max;
    }
    int p = p0;
    const float* const b = g.b + k0 * g.b_k;
    // One or two rows have too few sums to hide the latency of an addition, so several panels are computed at once.
    for (from.b = b + p * g.b_panel; m1 - m0 == 1 && p + 4 <= p1 && (p + 4) * panel <= g.n;
         from.b = b + (p += 4) * g.b_panel)
      gemm_rows<1, 4, A>(g, from, m0, p, k0, k1, FullVector{}, FullVector{});
    for (; m1 - m0 == 2 && p + 2 <= p1 && (p + 2) * panel <= g.n; from.b = b + (p += 2) * g.b_panel)
      gemm_rows<2, 2, A>(g, from, m0, p, k0, k1, FullVector{}, FullVector{});
    for (; p < p1; ++p) {
      const int columns = g.n - p * panel;
      const MaskedVector low{first(columns)}, high{first(columns - lanes)};
      from.b = b + p * g.b_panel;
      if (gather_b) {
        if (columns >= panel)
          gather_panel(from.b, g.b_k, k1 - k0, gathered_b, FullVector{}, FullVector{});
        else
          gather_panel(from.b, g.b_k, k1 - k0, gathered_b, low, high);
        from.b = gathered_b;
        from.b_k = panel;
      }
      if (columns >= panel)
        gemm_panel<A>(g, from, m0, m1, p, k0, k1, FullVector{}, FullVector{});
      else
        gemm_panel<A>(g, from, m0, m1, p, k0, k1, low, high);
    }
  }
}

}  // namespace avx2
#endif

/// Rows [m0, m1) of panels [p0, p1) of the product, on the calling thread.
template <Activation A, class T>
void gemm_range([[maybe_unused]] const Cpu& dev, const Gemm<T>& g, int m0, int m1, int p0, int p1,
                [[maybe_unused]] T* scratch = nullptr) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::gemm_block<A>(g, m0, m1, p0, p1, scratch);
#endif
  portable::gemm_block<A>(g, m0, m1, p0, p1);
}

/// One task of the product.
template <Activation A, class T>
void gemm_task(Cpu& dev, const Gemm<T>& g, const GemmTasks& tasks, int task, int worker) {
  const int m0 = task / tasks.across * tasks.rows, p0 = task % tasks.across * tasks.columns;
  const int m1 = g.m - m0 < tasks.rows ? g.m : m0 + tasks.rows;
  const int p1 = panels(g.n) - p0 < tasks.columns ? panels(g.n) : p0 + tasks.columns;
  gemm_range<A>(dev, g, m0, m1, p0, p1, static_cast<T*>(dev.scratch(worker)));
}

template <Activation A, class T>
void gemm(Cpu& dev, const Gemm<T>& g) {
  const GemmTasks tasks(g.m, g.n, g.k);
  dev.parallel(tasks.count, [&](int task, int worker) { gemm_task<A>(dev, g, tasks, task, worker); });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
