// One register tile of a product: acc (R, 16 P) = start + A (R, K) B (K, 16 P), summed over all k in order.
//   A   R row pointers and one index per k, which the rows share: a[r][index(k)]
//   B   P panels of 16 columns, `b_panel` apart; consecutive k are `b_k` elements apart
// Strategy  the accumulators stay in registers. A is broadcast, so it may have any layout.
// Fits      R P <= 6: 12 of 16 ymm hold sums, 2 hold B (it is loaded panel by panel), 1 holds A.
// Bound     FMA throughput: latency 4 on two ports needs 8 independent chains, and 6 x 16 has 12.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/cpu/activation.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr int panel = 16;     // columns of a panel of B
inline constexpr int tile_rows = 6;  // rows of a full tile

constexpr int panels(int columns) { return (columns + panel - 1) / panel; }

/// Splits n items into as few parts of at most `max` items as possible. Sizes differ by at most one: 128 rows make 18 tiles
/// of 6 and 4 of 5, instead of 21 of 6 and a slow one of 2.
struct EvenSplit {
  int n, parts;
  constexpr explicit EvenSplit(int items, int max = tile_rows) : n(items), parts((items + max - 1) / max) {}
  constexpr int begin(int part) const { return static_cast<int>(static_cast<long long>(n) * part / parts); }
};

#if TENON_X86
namespace avx2 {

/// The offset of column k of A: index(k) = k * step.
struct GemmStrides {
  std::ptrdiff_t step;
  TENON_AVX2_INLINE std::ptrdiff_t operator()(int k) const { return k * step; }
};

/// index(k) = offset[k], for example the values under a convolution's kernel.
struct Table {
  const int* offset;
  TENON_AVX2_INLINE std::ptrdiff_t operator()(int k) const { return offset[k]; }
};

template <int R, int P = 1>
struct Tile {
  static_assert(R * P <= tile_rows, "tenon: a tile of R rows and P panels needs 2 R P + 3 <= 16 registers");
  __m256 acc[R][2 * P];

  /// acc = from (R, 16 P), rows `row` apart (0 for a bias); zero if null.
  template <class Low, class High>
  TENON_AVX2_INLINE void start(const float* from, std::ptrdiff_t row, Low low, High high) {
    if (!from) {
      TENON_UNROLL
      for (int r = 0; r < R; ++r) {
        TENON_UNROLL
        for (int v = 0; v < 2 * P; ++v) acc[r][v] = _mm256_setzero_ps();
      }
      return;
    }
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      TENON_UNROLL
      for (int p = 0; p < P; ++p) {
        acc[r][2 * p] = load(from + r * row + p * panel, low);
        acc[r][2 * p + 1] = load(from + r * row + p * panel + lanes, high);
      }
    }
  }

  /// acc += A B
  template <class Index, class Low, class High>
  TENON_AVX2_INLINE void multiply(const float* const (&a)[R], Index index, int K, const float* b,
                                  std::ptrdiff_t b_panel, std::ptrdiff_t b_k, Low low, High high) {
    for (int k = 0; k < K; ++k, b += b_k) {
      const std::ptrdiff_t at = index(k);
      TENON_UNROLL
      for (int p = 0; p < P; ++p) {
        const __m256 b0 = load(b + p * b_panel, low), b1 = load(b + p * b_panel + lanes, high);
        TENON_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m256 ar = _mm256_broadcast_ss(a[r] + at);
          acc[r][2 * p] = _mm256_fmadd_ps(ar, b0, acc[r][2 * p]);
          acc[r][2 * p + 1] = _mm256_fmadd_ps(ar, b1, acc[r][2 * p + 1]);
        }
      }
    }
  }

  /// to (R, 16 P) = f(acc)
  template <Activation A, class Low, class High>
  TENON_AVX2_INLINE void finish(float* to, std::ptrdiff_t row, Low low, High high) const {
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      TENON_UNROLL
      for (int p = 0; p < P; ++p) {
        store(to + r * row + p * panel, low, ActivationFunction<A>::of(acc[r][2 * p]));
        store(to + r * row + p * panel + lanes, high, ActivationFunction<A>::of(acc[r][2 * p + 1]));
      }
    }
  }
};

}  // namespace avx2
#endif

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
