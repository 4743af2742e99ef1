// One tile of a matrix product, computed by one block, for the kernels of gemm.cuh.
//   C (M, N) = f(A (M, K) B (K, N) + bias (N)), or C += A B
//   A   element (m, k) at a[m * a_ld + k] if KA, "by k", else at a[k * a_ld + m]
//   B   element (k, n) at b[n * b_ld + k] if KB, else at b[k * b_ld + n]
// Strategy  three stages of 32 of K in shared memory, copied asynchronously in their memory order, 16 bytes at a time if
//           leading dimension and pointer allow it. The threads form groups. Each group computes the whole tile for a part
//           of every stage's K, so that small tiles have enough warps. The sums of the groups are added in order.
//             fp32   a thread has 4 x 4 or 8 x 8 sums, a group 8 x 8 threads; fragments are read 16 bytes at a time
//             tf32   m16n8k8 per warp; factors are rounded when they are read from shared memory
//             bf16   m16n8k16, likewise
// Bits      M, N and K fix the order of an element's sum: groups and parts of K are added in order. If K is split among
//           blocks, the last block to arrive adds all parts.
// Banks     rows are padded so that a warp's reads have no bank conflicts: by k, 36 values per row (40 for bf16); else
//           tile + 8 (tile + 4 for bf16).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/cuda/activation_function.cuh"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

inline constexpr int gemm_depth = 32;  // of K per stage
inline constexpr int gemm_stages = 3;

/// A product as passed to a kernel. Rows of C are c_ld apart, columns are contiguous.
template <class T>
struct Product {
  int m = 0, n = 0, k = 0;
  const T* a = nullptr;
  std::ptrdiff_t a_ld = 0;
  const T* b = nullptr;
  std::ptrdiff_t b_ld = 0;
  T* c = nullptr;
  std::ptrdiff_t c_ld = 0;
  const T* bias = nullptr;  // (N) or null
  bool accumulate = false;  // add to C

  // How it is split, from plan() in gemm.cuh.
  bool a_wide = false, b_wide = false;  // 16 bytes at once
  unsigned across = 0;                  // tiles side by side
  unsigned splits = 0;                  // parts of K, one per block
  int part = 0;                         // of K per part
  unsigned blocks = 0;
  T* partials = nullptr;        // (tiles, splits, tile), if splits > 1
  unsigned* tickets = nullptr;  // (tiles) zeros, reset after use
};

/// Sizes of a tile. Large tiles read less per operation. Small tiles are more numerous.
template <class T, CudaMath M, bool Large>
struct GemmTile {
  using value = T;
  static constexpr CudaMath math = M;
  static constexpr int rows = Large ? 64 : 32, cols = rows;
  static constexpr int groups = M == CudaMath::fp32 ? (Large ? 2 : 4) : Large ? 1 : M == CudaMath::tf32 ? 4 : 2;
  static constexpr int depth = gemm_depth / groups;  // of K per stage and group
  static constexpr int threads = Large ? 128 : 256, of_group = threads / groups;
  static constexpr int k_pad = M == CudaMath::bf16 ? 8 : 4, other_pad = M == CudaMath::bf16 ? 4 : 8;

  // fp32: a group's threads are 8 x 8
  static constexpr int mine = rows / 8;

  // tensor cores: a group's warps are 2 x warps_across
  static constexpr int warps_across = of_group / 64;
  static constexpr int warp_rows = rows / 2, warp_cols = cols / (warps_across > 0 ? warps_across : 1);

  template <bool ByK, int Extent>
  static constexpr int stride = ByK ? gemm_depth + k_pad : Extent + other_pad;
  /// Values per stage of an operand with Extent rows or columns: enough for either memory order.
  template <int Extent, int ByK = Extent* stride<true, Extent>, int Other = gemm_depth* stride<false, Extent>>
  static constexpr int stage = ByK > Other ? ByK : Other;
};

template <class Tile>
struct alignas(128) GemmShared {
  using T = typename Tile::value;
  static constexpr int c_stride = Tile::cols + 8;
  struct Stage {
    T a[Tile::template stage<Tile::rows>], b[Tile::template stage<Tile::cols>];
  };
  union {
    Stage stage[gemm_stages];
    T c[Tile::groups][Tile::rows * c_stride];  // after the last stage
  };
  bool last;
};

/// Starts the copy of (Outer, Inner) of a matrix from (outer, inner) on, with zeros beyond its extents.
template <int Outer, int Inner, int Stride, int Threads, class T>
__device__ __forceinline__ void copy_stage(T* to, const T* from, std::ptrdiff_t ld, int outer, int outer_end, int inner,
                                           int inner_end, bool wide) {
  const int thread = static_cast<int>(threadIdx.x);
  if (wide) {
    constexpr int size = Wide<T>::size, pieces = Inner / size;
    static_assert(Outer * pieces % Threads == 0);
    TENON_UNROLL
    for (int e = 0; e < Outer * pieces / Threads; ++e) {
      const int piece = thread + e * Threads, o = piece / pieces, i = piece % pieces * size;
      const int left = outer + o < outer_end ? inner_end - (inner + i) : 0;
      const int bytes = left >= size ? 16 : left > 0 ? left * static_cast<int>(sizeof(T)) : 0;
      copy_async16(to + o * Stride + i, bytes > 0 ? from + (outer + o) * ld + (inner + i) : from, bytes);
    }
  } else {
    static_assert(Outer * Inner % Threads == 0);
    TENON_ROLLED
    for (int e = 0; e < Outer * Inner / Threads; ++e) {
      const int at = thread + e * Threads, o = at / Inner, i = at % Inner;
      const bool there = outer + o < outer_end && inner + i < inner_end;
      const char* const source = reinterpret_cast<const char*>(there ? from + (outer + o) * ld + (inner + i) : from);
      char* const target = reinterpret_cast<char*>(to + o * Stride + i);
      for (int word = 0; word < static_cast<int>(sizeof(T)); word += 4)
        copy_async4(target + word, source + word, there ? 4 : 0);
    }
  }
}

// The sums of a group, in registers of its threads. multiply() adds one stage, store() writes the sums to shared memory.
template <class Tile, bool KA, bool KB, CudaMath = Tile::math>
struct GemmSums;

template <class Tile, bool KA, bool KB>
struct GemmSums<Tile, KA, KB, CudaMath::fp32> {
  using T = typename Tile::value;
  static constexpr int N = Tile::mine, size = Wide<T>::size;
  static constexpr int a_stride = Tile::template stride<KA, Tile::rows>,
                       b_stride = Tile::template stride<KB, Tile::cols>;
  T sum[N][N] = {};

  // The row (or column) of the i-th sum of a thread. By k: every eighth, so that eight threads read eight adjacent rows.
  // Else: 16 contiguous bytes.
  template <bool ByK>
  __device__ __forceinline__ static int line(int thread, int i) {
    return ByK ? thread + 8 * i : thread * size + i % size + 8 * size * (i / size);
  }
  // Reads (N, size of k) from k on.
  template <bool ByK, int Stride>
  __device__ __forceinline__ static void read(T (&to)[N][size], const T* from, int thread, int k) {
    if constexpr (ByK) {
      TENON_UNROLL
      for (int i = 0; i < N; ++i) {
        const Wide<T> w = load_wide(from + line<true>(thread, i) * Stride + k);
        TENON_UNROLL
        for (int q = 0; q < size; ++q) to[i][q] = w.v[q];
      }
    } else {
      TENON_UNROLL
      for (int q = 0; q < size; ++q) {
        TENON_UNROLL
        for (int i = 0; i < N; i += size) {
          const Wide<T> w = load_wide(from + (k + q) * Stride + line<false>(thread, i));
          TENON_UNROLL
          for (int r = 0; r < size; ++r) to[i + r][q] = w.v[r];
        }
      }
    }
  }

  __device__ __forceinline__ void multiply(const T* a, const T* b) {
    const int t = static_cast<int>(threadIdx.x) % Tile::of_group,
              first = static_cast<int>(threadIdx.x) / Tile::of_group;
    TENON_ROLLED
    for (int k = 0; k < Tile::depth; k += size) {
      T x[N][size], y[N][size];
      read<KA, a_stride>(x, a, t / 8, first * Tile::depth + k);
      read<KB, b_stride>(y, b, t % 8, first * Tile::depth + k);
      TENON_UNROLL
      for (int q = 0; q < size; ++q) {
        TENON_UNROLL
        for (int i = 0; i < N; ++i) {
          TENON_UNROLL
          for (int j = 0; j < N; ++j) sum[i][j] += x[i][q] * y[j][q];
        }
      }
    }
  }

  template <int Stride>
  __device__ __forceinline__ void store(T* c) const {
    const int t = static_cast<int>(threadIdx.x) % Tile::of_group;
    TENON_UNROLL
    for (int i = 0; i < N; ++i) {
      TENON_UNROLL
      for (int j = 0; j < N; ++j) c[line<KA>(t / 8, i) * Stride + line<KB>(t % 8, j)] = sum[i][j];
    }
  }
};

// Common to both kinds of tensor core instructions: which part of the tile a warp has, and how sums are stored.
template <class Tile, bool KA, bool KB>
struct WarpTile {
  static constexpr int a_stride = Tile::template stride<KA, Tile::rows>,
                       b_stride = Tile::template stride<KB, Tile::cols>;
  static constexpr int down = Tile::warp_rows / 16, across = Tile::warp_cols / 8;
  float sum[down][across][4] = {};

  __device__ __forceinline__ static int group() { return static_cast<int>(threadIdx.x) / Tile::of_group; }
  __device__ __forceinline__ static int in_group() {
    return static_cast<int>(threadIdx.x) % Tile::of_group / static_cast<int>(warp_size);
  }
  __device__ __forceinline__ static int row() { return in_group() / Tile::warps_across * Tile::warp_rows; }
  __device__ __forceinline__ static int col() { return in_group() % Tile::warps_across * Tile::warp_cols; }
  __device__ __forceinline__ static int g() { return static_cast<int>(lane()) / 4; }
  __device__ __forceinline__ static int t() { return static_cast<int>(lane()) % 4; }

  __device__ __forceinline__ static const float& a(const float* from, int m, int k) {
    return KA ? from[m * a_stride + k] : from[k * a_stride + m];
  }
  __device__ __forceinline__ static const float& b(const float* from, int k, int n) {
    return KB ? from[n * b_stride + k] : from[k * b_stride + n];
  }

  template <int Stride>
  __device__ __forceinline__ void store(float* c) const {
    TENON_UNROLL
    for (int i = 0; i < down; ++i) {
      TENON_UNROLL
      for (int j = 0; j < across; ++j) {
        TENON_UNROLL
        for (int e = 0; e < 4; ++e)
          c[(row() + 16 * i + g() + 8 * (e / 2)) * Stride + col() + 8 * j + 2 * t() + e % 2] = sum[i][j][e];
      }
    }
  }
};

template <class Tile, bool KA, bool KB>
struct GemmSums<Tile, KA, KB, CudaMath::tf32> : WarpTile<Tile, KA, KB> {
  using S = WarpTile<Tile, KA, KB>;
  __device__ __forceinline__ void multiply(const float* a, const float* b) {
    const int g = S::g(), t = S::t(), row = S::row(), col = S::col(), k0 = S::group() * Tile::depth;
    TENON_UNROLL
    for (int k = 0; k < Tile::depth; k += 8) {
      std::uint32_t x[S::down][4], y[S::across][2];
      TENON_UNROLL
      for (int i = 0; i < S::down; ++i) {
        TENON_UNROLL
        for (int e = 0; e < 4; ++e)
          x[i][e] = to_tf32(S::a(a, row + 16 * i + g + 8 * (e % 2), k0 + k + t + 4 * (e / 2)));
      }
      TENON_UNROLL
      for (int j = 0; j < S::across; ++j) {
        TENON_UNROLL
        for (int e = 0; e < 2; ++e) y[j][e] = to_tf32(S::b(b, k0 + k + t + 4 * e, col + 8 * j + g));
      }
      TENON_UNROLL
      for (int i = 0; i < S::down; ++i) {
        TENON_UNROLL
        for (int j = 0; j < S::across; ++j) mma_tf32(this->sum[i][j], x[i], y[j]);
      }
    }
  }
};

template <class Tile, bool KA, bool KB>
struct GemmSums<Tile, KA, KB, CudaMath::bf16> : WarpTile<Tile, KA, KB> {
  using S = WarpTile<Tile, KA, KB>;
  __device__ __forceinline__ void multiply(const float* a, const float* b) {
    const int g = S::g(), t = S::t(), row = S::row(), col = S::col(), k0 = S::group() * Tile::depth;
    TENON_UNROLL
    for (int k = 0; k < Tile::depth; k += 16) {
      std::uint32_t x[S::down][4], y[S::across][2];
      TENON_UNROLL
      for (int i = 0; i < S::down; ++i) {
        TENON_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int m = row + 16 * i + g + 8 * (e % 2), at = k0 + k + 2 * t + 8 * (e / 2);
          x[i][e] = to_bf16x2(S::a(a, m, at), S::a(a, m, at + 1));
        }
      }
      TENON_UNROLL
      for (int j = 0; j < S::across; ++j) {
        TENON_UNROLL
        for (int e = 0; e < 2; ++e) {
          const int n = col + 8 * j + g, at = k0 + k + 2 * t + 8 * e;
          y[j][e] = to_bf16x2(S::b(b, at, n), S::b(b, at + 1, n));
        }
      }
      TENON_UNROLL
      for (int i = 0; i < S::down; ++i) {
        TENON_UNROLL
        for (int j = 0; j < S::across; ++j) mma_bf16(this->sum[i][j], x[i], y[j]);
      }
    }
  }
};

template <class F, class T>
__device__ __forceinline__ void gemm_finish(const Product<T>& p, int m, int n, T sum) {
  if (m >= p.m || n >= p.n) return;
  T* const c = p.c + m * p.c_ld + n;
  const T v = F::of(p.bias ? sum + p.bias[n] : sum);
  *c = p.accumulate ? *c + v : v;
}

/// Block `block` of p.blocks.
template <class Tile, class F, bool KA, bool KB>
__device__ __forceinline__ void gemm_tile(const Product<typename Tile::value>& p, unsigned block,
                                          GemmShared<Tile>& shared) {
  using T = typename Tile::value;
  constexpr int rows = Tile::rows, cols = Tile::cols, threads = Tile::threads, depth = gemm_depth;
  constexpr int a_stride = Tile::template stride<KA, rows>, b_stride = Tile::template stride<KB, cols>;
  const unsigned tile = block / p.splits, split = block % p.splits;
  const int m0 = static_cast<int>(tile / p.across) * rows, n0 = static_cast<int>(tile % p.across) * cols;
  const int k0 = static_cast<int>(split) * p.part, k1 = p.k - k0 < p.part ? p.k : k0 + p.part;
  const int steps = (k1 - k0 + depth - 1) / depth;

  const auto copy = [&](int step) {
    if (step < steps) {
      auto& to = shared.stage[step % gemm_stages];
      const int k = k0 + step * depth;
      if constexpr (KA)
        copy_stage<rows, depth, a_stride, threads>(to.a, p.a, p.a_ld, m0, p.m, k, k1, p.a_wide);
      else
        copy_stage<depth, rows, a_stride, threads>(to.a, p.a, p.a_ld, k, k1, m0, p.m, p.a_wide);
      if constexpr (KB)
        copy_stage<cols, depth, b_stride, threads>(to.b, p.b, p.b_ld, n0, p.n, k, k1, p.b_wide);
      else
        copy_stage<depth, cols, b_stride, threads>(to.b, p.b, p.b_ld, k, k1, n0, p.n, p.b_wide);
    }
    copy_async_commit();
  };

  GemmSums<Tile, KA, KB> sums;
  for (int step = 0; step < gemm_stages - 1; ++step) copy(step);
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<gemm_stages - 2>();
    __syncthreads();               // this stage has arrived; no thread reads the previous stage any more,
    copy(step + gemm_stages - 1);  // which is overwritten here
    const auto& now = shared.stage[step % gemm_stages];
    sums.multiply(now.a, now.b);
  }
  copy_async_wait<0>();
  __syncthreads();

  constexpr int c_stride = GemmShared<Tile>::c_stride;
  sums.template store<c_stride>(shared.c[static_cast<int>(threadIdx.x) / Tile::of_group]);
  __syncthreads();
  T* const partial = p.partials + static_cast<std::size_t>(tile) * p.splits * (rows * cols);
  for (int e = static_cast<int>(threadIdx.x); e < rows * cols; e += threads) {
    const int m = e / cols, n = e % cols;
    T sum = shared.c[0][m * c_stride + n];
    TENON_UNROLL
    for (int i = 1; i < Tile::groups; ++i) sum += shared.c[i][m * c_stride + n];
    if (p.splits == 1)
      gemm_finish<F>(p, m0 + m, n0 + n, sum);
    else
      partial[static_cast<std::size_t>(split) * (rows * cols) + static_cast<std::size_t>(e)] = sum;
  }
  if (p.splits == 1) return;

  // A block writes its part to memory before it takes a ticket. The block with the last ticket sees all parts.
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) shared.last = atomicInc(p.tickets + tile, p.splits - 1) == p.splits - 1;
  __syncthreads();
  if (!shared.last) return;
  __threadfence();
  for (int e = static_cast<int>(threadIdx.x); e < rows * cols; e += threads) {
    T sum = __ldcg(partial + e);
    for (unsigned i = 1; i < p.splits; ++i)
      sum += __ldcg(partial + static_cast<std::size_t>(i) * (rows * cols) + static_cast<std::size_t>(e));
    gemm_finish<F>(p, m0 + e / cols, n0 + e % cols, sum);
  }
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
