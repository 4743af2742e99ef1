// The gradient through an activation whose derivative follows from its result, and column sums for a bias gradient.
//   derivative_and_sums   dy (rows, cols) *= f'(y);   sums (cols) = the column sums, or += them, unless null
// Strategy  a block owns a panel of columns, 128 bytes wide, of a chunk of rows. It has 256 threads side by side and below
//           each other. Each adds its rows in registers, then they are added by halves in shared memory. The same kernel
//           adds the sums of the chunks. If a panel has all columns, its rows are contiguous and are read without gaps.
// Fits      any cols; 16 bytes per access if cols and pointers allow it. Then one launch up to 512 rows of full panels.
// Cost      12 bytes per value, bound by memory. The order of additions depends on rows, cols and alignment.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/geometry.hpp"
#include "tenon/cuda/activation_function.cuh"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned derivative_threads = 256;
// Approximate maximum: four blocks per multiprocessor of the largest GPUs.
inline constexpr unsigned derivative_blocks = 512;
inline constexpr unsigned derivative_batch = 4;  // rows whose loads are in flight together

template <class T, int V>
struct alignas(16) SlopeSumsShared {
  T sum[derivative_threads][V];
};

// Block (panel, chunk) owns `width` times V columns and `chunk` rows. sums is (chunks, cols).
template <class F, int V, class T>
__global__ void __launch_bounds__(derivative_threads)
    derivative_and_sums_panel(T* dy, const T* y, int rows, int cols, int width, int chunk, T* sums, bool accumulate) {
  auto& shared = shared_memory<SlopeSumsShared<T, V>>();
  const int across = static_cast<int>(threadIdx.x) % width, down = static_cast<int>(threadIdx.x) / width;
  const int below = static_cast<int>(derivative_threads) / width;  // rows at once
  const int col = (static_cast<int>(blockIdx.x) * width + across) * V;
  const int begin = static_cast<int>(blockIdx.y) * chunk, end = rows - begin < chunk ? rows : begin + chunk;
  const bool mine = down < below && col < cols;
  constexpr int batch = static_cast<int>(derivative_batch);

  T sum[V] = {};
  if (mine)
    for (int i = begin + down; i < end; i += batch * below) {
      T d[batch][V] = {}, v[batch][V] = {};
      TENON_UNROLL
      for (int r = 0; r < batch; ++r)
        if (r * below < end - i) {
          const std::size_t at =
              static_cast<std::size_t>(i + r * below) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(col);
          load_values<true>(dy + at, d[r]);
          if constexpr (!F::identity) load_values<true>(y + at, v[r]);
        }
      TENON_UNROLL
      for (int r = 0; r < batch; ++r)
        if (r * below < end - i) {
          if constexpr (!F::identity) {
            const std::size_t at = static_cast<std::size_t>(i + r * below) * static_cast<std::size_t>(cols) +
                                   static_cast<std::size_t>(col);
            for (int k = 0; k < V; ++k) d[r][k] *= F::derivative(T(0), v[r][k]);
            store_values<true>(dy + at, d[r]);
          }
          for (int k = 0; k < V; ++k) sum[k] += d[r][k];
        }
    }
  if (!sums) return;

  for (int k = 0; k < V; ++k) shared.sum[threadIdx.x][k] = sum[k];
  __syncthreads();
  for (int n = below; n > 1;) {  // adds the lower half to the upper half
    const int half = (n + 1) / 2;
    if (down + half < n)
      for (int k = 0; k < V; ++k) shared.sum[threadIdx.x][k] += shared.sum[threadIdx.x + unsigned(half * width)][k];
    __syncthreads();
    n = half;
  }
  if (mine && down == 0) {
    T* const to = sums + static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(cols) + col;
    for (int k = 0; k < V; ++k) to[k] = accumulate ? to[k] + shared.sum[threadIdx.x][k] : shared.sum[threadIdx.x][k];
  }
}

/// How (rows, cols) is split into blocks, with V columns per thread.
struct SlopePlan {
  int width;  // threads side by side
  unsigned panels;
  int chunk;                    // rows
  unsigned chunks, max_chunks;  // max_chunks grows with the rows, chunks may not

  constexpr SlopePlan(int rows, int cols, int v, std::size_t value_bytes) {
    const int max = static_cast<int>(128 / (value_bytes * static_cast<std::size_t>(v))), units = cols / v;
    width = units < max ? units : max;
    panels = blocks_for(static_cast<std::size_t>(units), static_cast<std::size_t>(width));
    const int below = static_cast<int>(derivative_threads) / width;
    const unsigned short_chunks = blocks_for(static_cast<std::size_t>(rows), static_cast<std::size_t>(8 * below));
    const unsigned enough = panels < derivative_blocks ? derivative_blocks / panels : 1;
    max_chunks = rows <= 16 * below ? 1 : short_chunks < enough ? short_chunks : enough;
    chunk = static_cast<int>(blocks_for(static_cast<std::size_t>(rows), max_chunks));
    chunks = blocks_for(static_cast<std::size_t>(rows), static_cast<std::size_t>(chunk));
  }
};

template <class F, int V, class T>
void derivative_and_sums(Cuda& dev, T* dy, const T* y, int rows, int cols, T* sums, bool accumulate) {
  const SlopePlan plan(rows, cols, V, sizeof(T));
  ScratchAllocator scratch(dev);
  const bool parts = sums && plan.chunks > 1;
  T* const to = parts ? scratch.take<T>(std::size_t{plan.max_chunks} * static_cast<std::size_t>(cols)) : sums;
  launch(dev, "derivative_and_sums", derivative_and_sums_panel<F, V, T>, {plan.panels, plan.chunks},
         {derivative_threads}, sizeof(SlopeSumsShared<T, V>), dy, y, rows, cols, plan.width, plan.chunk, to,
         accumulate && !parts);
  if (parts) {
    const int chunks = static_cast<int>(plan.chunks);
    launch(dev, "derivative_and_sums of chunks", derivative_and_sums_panel<ActivationFunction<Activation{}>, V, T>,
           {plan.panels}, {derivative_threads}, sizeof(SlopeSumsShared<T, V>), to, static_cast<const T*>(nullptr),
           chunks, cols, plan.width, chunks, sums, accumulate);
  }
}

}  // namespace cuda

/// dy (rows, cols) *= f'(y). y is null if there is no activation. Unless null, sums (cols) = the column sums, or += them.
/// The workspace of the CPU version is not used.
template <Activation A, class T>
void derivative_and_sums(Cuda& dev, T* dy, const T* y, int rows, int cols, T* sums, bool accumulate, T* = nullptr) {
  static_assert(A.from_output(), "tenon: derivative_and_sums knows an activation by its value");
  using F = cuda::ActivationFunction<A>;
  if (F::identity && !sums) return;
  constexpr int v = cuda::Wide<T>::size;
  if (cols % v == 0 && cuda::is_wide_aligned(dy) && cuda::is_wide_aligned(y))
    cuda::derivative_and_sums<F, v>(dev, dy, y, rows, cols, sums, accumulate);
  else
    cuda::derivative_and_sums<F, 1>(dev, dy, y, rows, cols, sums, accumulate);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
