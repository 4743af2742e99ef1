// The inner part of a convolution on 128 threads: C += A B of tiles in shared memory, with the sums in registers.
//   RowsTile      A (rows, K), B (columns, K), k contiguous: forward convolution, and gradient of x
//   ColumnsTile   A (K, rows), B (K, columns): gradient of the weights, where K counts pixels
//   step(a, b)    one stage; each(f) calls f(row, column, sum) for the sums of this thread
// Strategy  fp32: a thread has 8 x 4 sums and reads 16 bytes at a time. tf32 and bf16: a warp has 1024 sums on tensor
//           cores; values are rounded when they are read. A lane may use any k for any k of an instruction, if A and B
//           agree. The choice makes reads wide (rows) or free of bank conflicts (columns).
// Fits      tiles of 4096 sums: 64 x 64, 128 x 32, 256 x 16 (rows); 64 x 64, 64 x 32, 64 x 16 (columns: the warps of a
//           block split the pixels and have 1, 2 or 4 partial sums of each element).
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/geometry.hpp"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

inline constexpr int conv_threads = 128;

/// The sums of a warp on tensor cores: WM x WN, in fragments of 16 x 8.
template <int WM, int WN>
struct WarpSums {
  static constexpr int down = WM / 16, across = WN / 8;
  float sum[down][across][4] = {};

  __device__ __forceinline__ void multiply_tf32(const std::uint32_t (&a)[down][4],
                                                const std::uint32_t (&b)[across][2]) {
    for (int i = 0; i < down; ++i)
      for (int j = 0; j < across; ++j) mma_tf32(sum[i][j], a[i], b[j]);
  }
  __device__ __forceinline__ void multiply_bf16(const std::uint32_t (&a)[down][4],
                                                const std::uint32_t (&b)[across][2]) {
    for (int i = 0; i < down; ++i)
      for (int j = 0; j < across; ++j) mma_bf16(sum[i][j], a[i], b[j]);
  }
  /// Calls f(row, column, sum) for the sums of this lane. `row` and `column` are the first ones of the warp.
  template <class F>
  __device__ __forceinline__ void each(int row, int column, F&& f) const {
    const int g = static_cast<int>(lane() / 4), t = static_cast<int>(lane() % 4);
    for (int i = 0; i < down; ++i)
      for (int j = 0; j < across; ++j)
        for (int q = 0; q < 4; ++q) f(row + 16 * i + g + 8 * (q / 2), column + 8 * j + 2 * t + q % 2, sum[i][j][q]);
  }
};

/// k is contiguous. A row of a stage holds 64 bytes of values.
template <class T, CudaMath M, int Columns>
struct RowsTile;

template <class T, int Columns>
struct RowsTile<T, CudaMath::fp32, Columns> {
  using value = T;
  static constexpr int columns = Columns, rows = 4096 / Columns, depth = 64 / static_cast<int>(sizeof(T));
  static constexpr int stride = depth + Wide<T>::size;  // eight adjacent rows lie in different banks
  static constexpr int across = Columns / 4, down = conv_threads / across;
  T sum[8][4] = {};

  __device__ __forceinline__ void step(const T* a, const T* b) {
    const int row = static_cast<int>(threadIdx.x) / across, column = static_cast<int>(threadIdx.x) % across;
    for (int k = 0; k < depth; k += Wide<T>::size) {
      Wide<T> u[8], v[4];
      for (int i = 0; i < 8; ++i) u[i] = load_wide(a + (row + down * i) * stride + k);
      for (int j = 0; j < 4; ++j) v[j] = load_wide(b + (column + across * j) * stride + k);
      for (int q = 0; q < Wide<T>::size; ++q)
        for (int i = 0; i < 8; ++i)
          for (int j = 0; j < 4; ++j) sum[i][j] += u[i].v[q] * v[j].v[q];
    }
  }
  template <class F>
  __device__ __forceinline__ void each(F&& f) const {
    const int row = static_cast<int>(threadIdx.x) / across, column = static_cast<int>(threadIdx.x) % across;
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 4; ++j) f(row + down * i, column + across * j, sum[i][j]);
  }
};

// Lane t of four takes k = 4 t to 4 t + 3 of 16. In the bf16 instruction of 16 k these are at positions 2 t, 2 t + 1,
// 2 t + 8 and 2 t + 9. In each of the two tf32 instructions of 8 k they are at positions t and t + 4.
template <CudaMath M, int Columns>
  requires(M != CudaMath::fp32)
struct RowsTile<float, M, Columns> {
  using value = float;
  static constexpr int columns = Columns, rows = 4096 / Columns, depth = 16;
  static constexpr int stride = depth;  // eight lanes read two whole rows
  static constexpr int wn = Columns < 32 ? Columns : 32, wm = 1024 / wn, warps_across = Columns / wn;
  WarpSums<wm, wn> sums;

  __device__ __forceinline__ static int first_row() { return static_cast<int>(warp()) / warps_across * wm; }
  __device__ __forceinline__ static int first_column() { return static_cast<int>(warp()) % warps_across * wn; }

  __device__ __forceinline__ void step(const float* a, const float* b) {
    const int g = static_cast<int>(lane() / 4), t = static_cast<int>(lane() % 4);
    a += (first_row() + g) * stride + 4 * t;
    b += (first_column() + g) * stride + 4 * t;
    Wide<float> u[wm / 8], v[wn / 8];
    for (int i = 0; i < wm / 8; ++i) u[i] = load_wide(a + 8 * i * stride);
    for (int j = 0; j < wn / 8; ++j) v[j] = load_wide(b + 8 * j * stride);
    std::uint32_t fa[wm / 16][4], fb[wn / 8][2];
    if constexpr (M == CudaMath::tf32) {
      for (int s = 0; s < 4; s += 2) {
        for (int i = 0; i < wm / 16; ++i)
          for (int q = 0; q < 4; ++q) fa[i][q] = to_tf32(u[2 * i + q % 2].v[s + q / 2]);
        for (int j = 0; j < wn / 8; ++j)
          for (int q = 0; q < 2; ++q) fb[j][q] = to_tf32(v[j].v[s + q]);
        sums.multiply_tf32(fa, fb);
      }
    } else {
      for (int i = 0; i < wm / 16; ++i)
        for (int q = 0; q < 4; ++q) {
          const Wide<float>& w = u[2 * i + q % 2];
          fa[i][q] = to_bf16x2(w.v[q / 2 * 2], w.v[q / 2 * 2 + 1]);
        }
      for (int j = 0; j < wn / 8; ++j)
        for (int q = 0; q < 2; ++q) fb[j][q] = to_bf16x2(v[j].v[2 * q], v[j].v[2 * q + 1]);
      sums.multiply_bf16(fa, fb);
    }
  }
  template <class F>
  __device__ __forceinline__ void each(F&& f) const {
    sums.each(first_row(), first_column(), f);
  }
};

/// Rows and columns are contiguous. A stage holds `parts` times `depth` of K, one part for each group of warps.
template <class T, CudaMath M, int Columns>
struct ColumnsTile;

template <class T, int Columns>
struct ColumnsTile<T, CudaMath::fp32, Columns> {
  using value = T;
  static constexpr int columns = Columns, rows = 64, parts = 64 / Columns, depth = 64 / static_cast<int>(sizeof(T));
  static constexpr int a_stride = rows + 8, b_stride = Columns + 8;
  static constexpr int across = Columns / 4, each_part = conv_threads / parts;
  T sum[8][4] = {};

  __device__ __forceinline__ static int part() { return static_cast<int>(threadIdx.x) / each_part; }
  __device__ __forceinline__ static int row() { return static_cast<int>(threadIdx.x) % each_part / across * 4; }
  __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x) % across * 4; }

  __device__ __forceinline__ void step(const T* a, const T* b) {
    a += part() * depth * a_stride + row();
    b += part() * depth * b_stride + column();
    for (int k = 0; k < depth; ++k, a += a_stride, b += b_stride) {
      Wide<T> u[8 / Wide<T>::size], v[4 / Wide<T>::size];
      for (int i = 0; i < 4 / Wide<T>::size; ++i) {
        u[i] = load_wide(a + i * Wide<T>::size);
        u[4 / Wide<T>::size + i] = load_wide(a + 32 + i * Wide<T>::size);
        v[i] = load_wide(b + i * Wide<T>::size);
      }
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 4; ++j)
          sum[i][j] += u[i / Wide<T>::size].v[i % Wide<T>::size] * v[j / Wide<T>::size].v[j % Wide<T>::size];
    }
  }
  template <class F>
  __device__ __forceinline__ void each(F&& f) const {
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 4; ++j) f(row() + i % 4 + i / 4 * 32, column() + j, sum[i][j]);
  }
};

// Lane t of four takes k = t, t + 4, t + 8 and t + 12.
template <CudaMath M, int Columns>
  requires(M != CudaMath::fp32)
struct ColumnsTile<float, M, Columns> {
  using value = float;
  static constexpr int columns = Columns, rows = 64, parts = 64 / Columns, depth = 16;
  static constexpr int a_stride = rows + 8, b_stride = Columns + 8;  // 8 more than a multiple of 16 or 32 banks
  static constexpr int wn = Columns < 32 ? Columns : 32, wm = 1024 / wn, warps_across = Columns / wn;
  static constexpr int each_part = 4 / parts;  // warps
  WarpSums<wm, wn> sums;

  __device__ __forceinline__ static int part() { return static_cast<int>(warp()) / each_part; }
  __device__ __forceinline__ static int first_row() { return static_cast<int>(warp()) % each_part / warps_across * wm; }
  __device__ __forceinline__ static int first_column() { return static_cast<int>(warp()) % warps_across * wn; }

  __device__ __forceinline__ void step(const float* a, const float* b) {
    const int g = static_cast<int>(lane() / 4), t = static_cast<int>(lane() % 4);
    a += (part() * depth + t) * a_stride + first_row() + g;
    b += (part() * depth + t) * b_stride + first_column() + g;
    std::uint32_t fa[wm / 16][4], fb[wn / 8][2];
    if constexpr (M == CudaMath::tf32) {
      for (int s = 0; s < 16; s += 8) {
        for (int i = 0; i < wm / 16; ++i)
          for (int q = 0; q < 4; ++q) fa[i][q] = to_tf32(a[(s + q / 2 * 4) * a_stride + 16 * i + q % 2 * 8]);
        for (int j = 0; j < wn / 8; ++j)
          for (int q = 0; q < 2; ++q) fb[j][q] = to_tf32(b[(s + 4 * q) * b_stride + 8 * j]);
        sums.multiply_tf32(fa, fb);
      }
    } else {
      for (int i = 0; i < wm / 16; ++i)
        for (int q = 0; q < 4; ++q) {
          const float* const from = a + q / 2 * 8 * a_stride + 16 * i + q % 2 * 8;
          fa[i][q] = to_bf16x2(from[0], from[4 * a_stride]);
        }
      for (int j = 0; j < wn / 8; ++j)
        for (int q = 0; q < 2; ++q) {
          const float* const from = b + 8 * q * b_stride + 8 * j;
          fb[j][q] = to_bf16x2(from[0], from[4 * b_stride]);
        }
      sums.multiply_bf16(fa, fb);
    }
  }
  template <class F>
  __device__ __forceinline__ void each(F&& f) const {
    sums.each(first_row(), first_column(), f);
  }
};

// --- filling a stage -------------------------------------------------------------------------------------------------

/// Copies 16 bytes (Vec) or one value to shared memory, or zeros if not `live`. Complete after copy_async_wait.
template <bool Vec, class T>
__device__ __forceinline__ void copy_piece(T* to, const T* from, bool live) {
  if constexpr (Vec)
    copy_async16(to, from, live ? 16 : 0);
  else if constexpr (sizeof(T) == 4)
    copy_async4(to, from, live ? 4 : 0);
  else
    *to = live ? *from : T(0);
}

/// How dz is stored: in full, or after a pool of Down x Across, with the positions of the maxima.
struct DenseGradient {
  static constexpr bool pooled = false;
  static constexpr int down = 1, across = 1;
};
template <int Down, int Across>
struct PooledGradient {
  static constexpr bool pooled = true;
  static constexpr int down = Down, across = Across;
};

/// Values of a pooled gradient between load and store to shared memory. A value is stored if its maximum was at `place`,
/// else 0.
template <class T, bool Vec>
struct Spreading {
  static constexpr int size = Vec ? Wide<T>::size : 1;
  T value[size];
  std::uint8_t places[size];
  int place;

  __device__ __forceinline__ void load(const T* from, const std::uint8_t* places_from, int at, bool live) {
    place = live ? at : -1;
    if (!live) return;
    if constexpr (Vec) {
      const Wide<T> w = load_wide(from);
      for (int k = 0; k < size; ++k) value[k] = w.v[k];
      if constexpr (size == 4) {
        const std::uint32_t bits = *reinterpret_cast<const std::uint32_t*>(places_from);
        for (int k = 0; k < size; ++k) places[k] = static_cast<std::uint8_t>(bits >> (8 * k));
      } else {
        for (int k = 0; k < size; ++k) places[k] = places_from[k];
      }
    } else {
      value[0] = *from;
      places[0] = *places_from;
    }
  }
  __device__ __forceinline__ void store(T* to) const {
    if constexpr (Vec) {
      Wide<T> w;
      for (int k = 0; k < size; ++k) w.v[k] = place >= 0 && places[k] == place ? value[k] : T(0);
      store_wide(to, w);
    } else {
      *to = place >= 0 && places[0] == place ? value[0] : T(0);
    }
  }
};

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
