// Back through an activation that is known by its result, and the sums that a bias wants.
//   slope_and_sums   dy (rows, cols) *= f'(y);   sums (cols) = the column sums, or += them, unless null
// Strategy  a block owns a panel of columns, 128 bytes wide, of a chunk of rows: 256 threads side by side and below each
//           other, each adding its rows in registers, then halved in shared memory. Sums of chunks are added by the same
//           kernel. Whole rows lie together, so that a panel of few columns is read without gaps.
// Fits      any cols; 16 bytes a thread where cols and pointers allow it. One launch up to 512 rows of wide columns.
// Cost      12 bytes a value, bound by memory. The order of sums depends on rows and cols, and on the alignment.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/geometry.hpp"
#include "tenon/cuda/activate.cuh"
#include "tenon/cuda/launch.cuh"

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned slope_threads = 256;
inline constexpr unsigned slope_blocks = 512;  // at most, about: four blocks on each multiprocessor of the largest GPUs
inline constexpr unsigned slope_batch = 4;     // rows whose loads are in flight together

template <class T, int V>
struct alignas(16) SlopeSumsShared {
  T sum[slope_threads][V];
};

// Block (panel, chunk): `width` times V columns, `chunk` rows. sums are (chunks, cols).
template <class F, int V, class T>
__global__ void __launch_bounds__(slope_threads)
    slope_and_sums_panel(T* dy, const T* y, int rows, int cols, int width, int chunk, T* sums, bool add) {
  auto& shared = shared_memory<SlopeSumsShared<T, V>>();
  const int across = static_cast<int>(threadIdx.x) % width, down = static_cast<int>(threadIdx.x) / width;
  const int below = static_cast<int>(slope_threads) / width;  // rows at once
  const int col = (static_cast<int>(blockIdx.x) * width + across) * V;
  const int begin = static_cast<int>(blockIdx.y) * chunk, end = rows - begin < chunk ? rows : begin + chunk;
  const bool mine = down < below && col < cols;
  constexpr int batch = static_cast<int>(slope_batch);

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
            for (int k = 0; k < V; ++k) d[r][k] *= F::slope(T(0), v[r][k]);
            store_values<true>(dy + at, d[r]);
          }
          for (int k = 0; k < V; ++k) sum[k] += d[r][k];
        }
    }
  if (!sums) return;

  for (int k = 0; k < V; ++k) shared.sum[threadIdx.x][k] = sum[k];
  __syncthreads();
  for (int n = below; n > 1;) {  // the lower half onto the upper one
    const int half = (n + 1) / 2;
    if (down + half < n)
      for (int k = 0; k < V; ++k) shared.sum[threadIdx.x][k] += shared.sum[threadIdx.x + unsigned(half * width)][k];
    __syncthreads();
    n = half;
  }
  if (mine && down == 0) {
    T* const to = sums + static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(cols) + col;
    for (int k = 0; k < V; ++k) to[k] = add ? to[k] + shared.sum[threadIdx.x][k] : shared.sum[threadIdx.x][k];
  }
}

/// How (rows, cols) is cut into blocks, V columns a thread.
struct SlopePlan {
  int width;  // threads side by side
  unsigned panels;
  int chunk;                     // rows
  unsigned chunks, most_chunks;  // the latter grows with the rows, chunks may not

  constexpr SlopePlan(int rows, int cols, int v, std::size_t value_bytes) {
    const int most = static_cast<int>(128 / (value_bytes * static_cast<std::size_t>(v))), units = cols / v;
    width = units < most ? units : most;
    panels = blocks_for(static_cast<std::size_t>(units), static_cast<std::size_t>(width));
    const int below = static_cast<int>(slope_threads) / width;
    const unsigned short_chunks = blocks_for(static_cast<std::size_t>(rows), static_cast<std::size_t>(8 * below));
    const unsigned enough = panels < slope_blocks ? slope_blocks / panels : 1;
    most_chunks = rows <= 16 * below ? 1 : short_chunks < enough ? short_chunks : enough;
    chunk = static_cast<int>(blocks_for(static_cast<std::size_t>(rows), most_chunks));
    chunks = blocks_for(static_cast<std::size_t>(rows), static_cast<std::size_t>(chunk));
  }
};

template <class F, int V, class T>
void slope_and_sums(Cuda& dev, T* dy, const T* y, int rows, int cols, T* sums, bool add) {
  const SlopePlan plan(rows, cols, V, sizeof(T));
  Scratch scratch(dev);
  const bool parts = sums && plan.chunks > 1;
  T* const to = parts ? scratch.take<T>(std::size_t{plan.most_chunks} * static_cast<std::size_t>(cols)) : sums;
  launch(dev, "slope_and_sums", slope_and_sums_panel<F, V, T>, {plan.panels, plan.chunks}, {slope_threads},
         sizeof(SlopeSumsShared<T, V>), dy, y, rows, cols, plan.width, plan.chunk, to, add && !parts);
  if (parts) {
    const int chunks = static_cast<int>(plan.chunks);
    launch(dev, "slope_and_sums of chunks", slope_and_sums_panel<Activate<Act{}>, V, T>, {plan.panels}, {slope_threads},
           sizeof(SlopeSumsShared<T, V>), to, static_cast<const T*>(nullptr), chunks, cols, plan.width, chunks, sums,
           add);
  }
}

}  // namespace cuda

/// dy (rows, cols) *= f'(y), y null if there is no activation; sums (cols), unless null, = the column sums, or += them.
/// The CPU's workspace is not needed.
template <Act A, class T>
void slope_and_sums(Cuda& dev, T* dy, const T* y, int rows, int cols, T* sums, bool add, T* = nullptr) {
  static_assert(A.from_output(), "tenon: slope_and_sums knows an activation by its value");
  using F = cuda::Activate<A>;
  if (F::identity && !sums) return;
  constexpr int v = cuda::Wide<T>::size;
  if (cols % v == 0 && cuda::is_wide_aligned(dy) && cuda::is_wide_aligned(y))
    cuda::slope_and_sums<F, v>(dev, dy, y, rows, cols, sums, add);
  else
    cuda::slope_and_sums<F, 1>(dev, dy, y, rows, cols, sums, add);
}

}  // namespace tenon::kernels
