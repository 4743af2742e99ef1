// Layer normalization over the last dimension, as torch.nn.LayerNorm(N).
//   x (B, R, N), gamma, beta (N) -> y (B, R, N), stores mean and rstd (B, R); gamma and beta may be null (1 and 0)
// Strategy  a team of threads owns a row, holds it in registers and reads nothing twice: 1 to 32 lanes of a warp up to
//           1024 floats, a block up to 8192. In the backward pass, which holds four values per column, up to 512 and
//           4096. A block reads the row again for each pass if it is longer, or not aligned although N would allow
//           16-byte accesses. In the backward pass, the teams of a block visit a chunk of rows and sum its part of dgamma
//           and dbeta. A second launch adds the chunks.
// Cost      8 bytes per element forward, 12 backward: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cuda/collective.cuh"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned layer_norm_threads = 256;  // of a block that owns one row

constexpr int layer_norm_width(int pieces) {
  int w = 1;
  while (w < pieces && w < static_cast<int>(warp_size)) w *= 2;
  return w;
}

/// How a team holds a row of N: thread t has the pieces t, t + width, ... of `size` values, at most `max` values in total.
template <class T, int N, int Bytes>
struct LayerNormTeam {
  using Value = T;
  static constexpr int n = N;
  static constexpr int size = N % Wide<T>::size == 0 ? Wide<T>::size : 1;
  static constexpr int pieces = N / size;
  static constexpr int max = Bytes / static_cast<int>(sizeof(T));
  static constexpr bool by_warp = N <= max * static_cast<int>(warp_size);
  static constexpr bool held = N <= max * static_cast<int>(layer_norm_threads);
  static constexpr int width = by_warp ? layer_norm_width(pieces) : static_cast<int>(layer_norm_threads);
  static constexpr int own = (pieces + width - 1) / width;  // pieces of a thread
  static constexpr unsigned threads = by_warp ? 128 : layer_norm_threads;
  static constexpr int teams = static_cast<int>(threads) / width;  // rows that a block has at a time
};
template <class T, int N>
using LayerNormForwardTeam = LayerNormTeam<T, N, 128>;
template <class T, int N>
using LayerNormBackwardTeam = LayerNormTeam<T, N, 64>;

/// How the backward pass splits the rows: by the shape only, so the chunks do not depend on how a row is read.
struct LayerNormChunks {
  std::size_t grain;
  unsigned count, capacity;  // capacity never shrinks as rows grow

  template <class Team>
  static LayerNormChunks of(std::size_t rows) {
    constexpr std::size_t max = Team::held ? 256 : 64, min = Team::held ? std::size_t{Team::teams} : 1;
    LayerNormChunks c;
    c.grain = ((rows + max - 1) / max + min - 1) / min * min;
    c.count = blocks_for(rows, c.grain);
    c.capacity = rows >= min * max ? static_cast<unsigned>(max) : blocks_for(rows, min);
    return c;
  }
};

template <class T>
__device__ __forceinline__ T layer_norm_scale(T variance, T epsilon) {
  return 1 / root_of(variance + epsilon);
}

/// Arrays of the forward pass: x, y (rows, N), gamma, beta (N), mean, rstd (rows). All except x and y may be null.
template <class T>
struct LayerNormForward {
  const T *x, *gamma, *beta;
  T epsilon;
  T *y, *mean, *rstd;

  bool wide() const {
    return is_wide_aligned(x) && is_wide_aligned(gamma) && is_wide_aligned(beta) && is_wide_aligned(y);
  }
  __device__ void keep(std::size_t row, T mu, T r) const {
    if (mean) mean[row] = mu;
    if (rstd) rstd[row] = r;
  }
};

/// Arrays of the backward pass: x, dy, dx (rows, N), gamma (N), mean, rstd (rows), sums (chunks, 2, N) of dgamma and dbeta.
/// gamma, dx and sums may be null.
template <class T>
struct LayerNormBackward {
  const T *x, *dy, *gamma, *mean, *rstd;
  T *dx, *sums;
  bool accumulate;

  bool wide() const {
    return is_wide_aligned(x) && is_wide_aligned(gamma) && is_wide_aligned(dy) && is_wide_aligned(dx);
  }
};

/// A thread's part of a row, or of N values that apply to every row.
template <class Team>
struct LayerNormPart {
  using T = typename Team::Value;
  T v[Team::own][Team::size];

  __device__ void fill(T with) {
    for (int i = 0; i < Team::own; ++i)
      for (int k = 0; k < Team::size; ++k) v[i][k] = with;
  }
  /// Elements of v beyond the row are not changed.
  __device__ void load(const T* row, int member) {
    for (int i = 0; i < Team::own; ++i) {
      const int p = i * Team::width + member;
      if (p < Team::pieces) load_values<true>(row + p * Team::size, v[i]);
    }
  }
  __device__ void store(T* row, int member) const {
    for (int i = 0; i < Team::own; ++i) {
      const int p = i * Team::width + member;
      if (p < Team::pieces) store_values<true>(row + p * Team::size, v[i]);
    }
  }
};

/// Returns the sum over a team in each of its threads. All threads of the block must call it.
template <class Team, class T>
__device__ __forceinline__ T layer_norm_sum(T v) {
  if constexpr (Team::by_warp)
    return warp_sum<static_cast<unsigned>(Team::width)>(v);
  else
    return shared_memory<BlockReduce<T, layer_norm_threads>>().sum(v);
}

// --- forward ---------------------------------------------------------------------------------------------------------

template <int N, class T>
__global__ void __launch_bounds__(LayerNormForwardTeam<T, N>::threads)
    layer_norm_held(LayerNormForward<T> a, std::size_t rows) {
  using Team = LayerNormForwardTeam<T, N>;
  const int member = static_cast<int>(threadIdx.x) % Team::width, team = static_cast<int>(threadIdx.x) / Team::width;
  const std::size_t row = static_cast<std::size_t>(blockIdx.x) * Team::teams + team;
  const bool live = row < rows;
  LayerNormPart<Team> x, gamma, beta;
  // Sums are relative to the row's first value, so a mean far from 0 loses no digits.
  const T start = live ? a.x[row * N] : T(0);
  x.fill(start);
  gamma.fill(T(1));
  beta.fill(T(0));
  if (live) x.load(a.x + row * N, member);
  if (a.gamma) gamma.load(a.gamma, member);
  if (a.beta) beta.load(a.beta, member);
  T s = 0, q = 0;
  for (int i = 0; i < Team::own; ++i)
    for (int k = 0; k < Team::size; ++k) s += x.v[i][k] - start;
  const T mean = start + layer_norm_sum<Team>(s) / static_cast<T>(N);
  for (int i = 0; i < Team::own; ++i)
    for (int k = 0; k < Team::size; ++k) {
      const T d = x.v[i][k] - mean;
      if (i * Team::width + member < Team::pieces) q += d * d;
    }
  const T rstd = layer_norm_scale(layer_norm_sum<Team>(q) / static_cast<T>(N), a.epsilon);
  if (!live) return;
  for (int i = 0; i < Team::own; ++i)
    for (int k = 0; k < Team::size; ++k) x.v[i][k] = (x.v[i][k] - mean) * rstd * gamma.v[i][k] + beta.v[i][k];
  x.store(a.y + row * N, member);
  if (member == 0) a.keep(row, mean, rstd);
}

// One block per row. Values that a thread reads again are in L1 or L2.
template <class T>
__global__ void __launch_bounds__(layer_norm_threads) layer_norm_long(LayerNormForward<T> a, int n) {
  auto& reduce = shared_memory<BlockReduce<T, layer_norm_threads>>();
  const int begin = static_cast<int>(threadIdx.x);
  const std::size_t row = blockIdx.x;
  const T* const x = a.x + row * static_cast<std::size_t>(n);
  T* const y = a.y + row * static_cast<std::size_t>(n);
  const T start = x[0];
  T s = 0, q = 0;
  for (int i = begin; i < n; i += layer_norm_threads) s += x[i] - start;
  const T mean = start + reduce.sum(s) / static_cast<T>(n);
  for (int i = begin; i < n; i += layer_norm_threads) q += (x[i] - mean) * (x[i] - mean);
  const T rstd = layer_norm_scale(reduce.sum(q) / static_cast<T>(n), a.epsilon);
  for (int i = begin; i < n; i += layer_norm_threads)
    y[i] = (x[i] - mean) * rstd * (a.gamma ? a.gamma[i] : T(1)) + (a.beta ? a.beta[i] : T(0));
  if (begin == 0) a.keep(row, mean, rstd);
}

// --- backward --------------------------------------------------------------------------------------------------------

/// Shared memory in which the teams of a block add their columns. Used only if a warp holds one or more teams.
template <class Team>
struct alignas(16) LayerNormColumns {
  typename Team::Value of_team[Team::teams][Team::n];
};
template <class Team>
using LayerNormShared =
    std::conditional_t<Team::by_warp, LayerNormColumns<Team>, BlockReduce<typename Team::Value, layer_norm_threads>>;

/// to (N) = the sum of the teams' parts, in the order of the teams.
template <class Team, class T>
__device__ void layer_norm_columns(const LayerNormPart<Team>& part, int team, int member, T* to) {
  if constexpr (Team::teams == 1) {
    part.store(to, member);
  } else {
    auto& columns = shared_memory<LayerNormColumns<Team>>();
    part.store(columns.of_team[team], member);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < Team::n; i += static_cast<int>(Team::threads)) {
      T s = columns.of_team[0][i];
      for (int t = 1; t < Team::teams; ++t) s += columns.of_team[t][i];
      to[i] = s;
    }
    __syncthreads();  // before the next call overwrites the parts
  }
}

// One block per chunk of rows.
template <int N, class T>
__global__ void __launch_bounds__(LayerNormBackwardTeam<T, N>::threads)
    layer_norm_backward_held(LayerNormBackward<T> a, std::size_t rows, std::size_t grain) {
  using Team = LayerNormBackwardTeam<T, N>;
  const int member = static_cast<int>(threadIdx.x) % Team::width, team = static_cast<int>(threadIdx.x) / Team::width;
  const std::size_t begin = blockIdx.x * grain, end = rows - begin < grain ? rows : begin + grain;
  LayerNormPart<Team> gamma, dgamma, dbeta;
  gamma.fill(T(1));
  dgamma.fill(T(0));
  dbeta.fill(T(0));
  if (a.gamma) gamma.load(a.gamma, member);
  for (std::size_t first = begin; first < end; first += Team::teams) {  // no lane exits early: the sums use all lanes
    const std::size_t row = first + team;
    const bool live = row < end;
    LayerNormPart<Team> hat, dy;
    hat.fill(T(0));
    dy.fill(T(0));
    T mean = 0, rstd = 0;
    if (live) {
      hat.load(a.x + row * N, member);
      dy.load(a.dy + row * N, member);
      mean = a.mean[row];
      rstd = a.rstd[row];
    }
    T s = 0, q = 0;  // sums of dhat and dhat hat
    for (int i = 0; i < Team::own; ++i)
      for (int k = 0; k < Team::size; ++k) {
        T &h = hat.v[i][k], &d = dy.v[i][k];
        h = (h - mean) * rstd;
        dgamma.v[i][k] += d * h;
        dbeta.v[i][k] += d;
        d *= gamma.v[i][k];
        s += d;
        q += d * h;
      }
    if (!a.dx) continue;
    s = layer_norm_sum<Team>(s) / static_cast<T>(N);
    q = layer_norm_sum<Team>(q) / static_cast<T>(N);
    LayerNormPart<Team> old;
    old.fill(T(0));
    if (live && a.accumulate) old.load(a.dx + row * N, member);
    for (int i = 0; i < Team::own; ++i)
      for (int k = 0; k < Team::size; ++k) old.v[i][k] += rstd * (dy.v[i][k] - s - hat.v[i][k] * q);
    if (live) old.store(a.dx + row * N, member);
  }
  if (!a.sums) return;
  T* const to = a.sums + static_cast<std::size_t>(blockIdx.x) * 2 * N;
  layer_norm_columns(dgamma, team, member, to);
  layer_norm_columns(dbeta, team, member, to + N);
}

// One block per chunk of rows. Its sums are in global memory: a thread has the same columns of each row.
template <class T>
__global__ void __launch_bounds__(layer_norm_threads)
    layer_norm_backward_long(LayerNormBackward<T> a, std::size_t rows, std::size_t grain, int n) {
  auto& reduce = shared_memory<BlockReduce<T, layer_norm_threads>>();
  const std::size_t width = static_cast<std::size_t>(n);
  const std::size_t begin = blockIdx.x * grain, end = rows - begin < grain ? rows : begin + grain;
  T* const dgamma = a.sums ? a.sums + static_cast<std::size_t>(blockIdx.x) * 2 * width : nullptr;
  for (std::size_t row = begin; row < end; ++row) {
    const T *const x = a.x + row * width, *const dy = a.dy + row * width;
    const T mean = a.mean[row], rstd = a.rstd[row];
    T s = 0, q = 0;
    for (std::size_t i = threadIdx.x; i < width; i += layer_norm_threads) {
      const T hat = (x[i] - mean) * rstd, dhat = a.gamma ? dy[i] * a.gamma[i] : dy[i];
      s += dhat;
      q += dhat * hat;
      if (dgamma) {
        dgamma[i] = (row == begin ? T(0) : dgamma[i]) + dy[i] * hat;
        dgamma[width + i] = (row == begin ? T(0) : dgamma[width + i]) + dy[i];
      }
    }
    if (!a.dx) continue;
    s = reduce.sum(s) / static_cast<T>(n);
    q = reduce.sum(q) / static_cast<T>(n);
    T* const dx = a.dx + row * width;
    for (std::size_t i = threadIdx.x; i < width; i += layer_norm_threads) {
      const T hat = (x[i] - mean) * rstd, dhat = a.gamma ? dy[i] * a.gamma[i] : dy[i];
      dx[i] = (a.accumulate ? dx[i] : T(0)) + rstd * (dhat - s - hat * q);
    }
  }
}

/// A gradient (N), null if it is not wanted.
template <class T>
struct LayerNormGradient {
  T* to;
  bool accumulate;
};

template <class T>
struct LayerNormCombine {
  T of_warp[layer_norm_threads / warp_size][warp_size];
};

// A warp has 32 of the 2 n columns and every eighth chunk. The warps are added in order.
template <class T>
__global__ void __launch_bounds__(layer_norm_threads)
    layer_norm_combine(const T* sums, unsigned chunks, int n, LayerNormGradient<T> dgamma, LayerNormGradient<T> dbeta) {
  constexpr unsigned warps = layer_norm_threads / warp_size;
  auto& shared = shared_memory<LayerNormCombine<T>>();
  const std::size_t width = static_cast<std::size_t>(n), column = std::size_t{blockIdx.x} * warp_size + lane();
  T s = 0;
  if (column < 2 * width)
    for (unsigned c = warp(); c < chunks; c += warps) s += sums[c * 2 * width + column];
  shared.of_warp[warp()][lane()] = s;
  __syncthreads();
  if (warp() != 0 || column >= 2 * width) return;
  for (unsigned w = 1; w < warps; ++w) s += shared.of_warp[w][lane()];
  const bool first = column < width;
  const LayerNormGradient<T> g = first ? dgamma : dbeta;
  const std::size_t i = first ? column : column - width;
  if (g.to) g.to[i] = (g.accumulate ? g.to[i] : T(0)) + s;
}

}  // namespace cuda

template <class T, int R, int N>
void layer_norm_forward(Cuda& dev, std::type_identity_t<In<T, Batch, R, N>> x, std::type_identity_t<In<T, N>> gamma,
                        std::type_identity_t<In<T, N>> beta, std::type_identity_t<T> epsilon, Out<T, Batch, R, N> y,
                        std::type_identity_t<Out<T, Batch, R>> mean, std::type_identity_t<Out<T, Batch, R>> rstd) {
  using Team = cuda::LayerNormForwardTeam<T, N>;
  const std::size_t rows = static_cast<std::size_t>(x.batch) * R;
  const cuda::LayerNormForward<T> a{x.data, gamma.data, beta.data, epsilon, y.data, mean.data, rstd.data};
  using Reduce = cuda::BlockReduce<T, cuda::layer_norm_threads>;
  if constexpr (Team::held)
    if (Team::size == 1 || a.wide()) {
      cuda::launch(dev, "layer_norm_held", cuda::layer_norm_held<N, T>, {cuda::blocks_for(rows, Team::teams)},
                   {Team::threads}, Team::by_warp ? 0 : sizeof(Reduce), a, rows);
      return;
    }
  cuda::launch(dev, "layer_norm_long", cuda::layer_norm_long<T>, {cuda::blocks_for(rows, 1)},
               {cuda::layer_norm_threads}, sizeof(Reduce), a, N);
}

/// dx may be dy. The workspace is not used.
template <class T, int R, int N>
void layer_norm_backward(Cuda& dev, std::type_identity_t<In<T, Batch, R, N>> x, std::type_identity_t<In<T, N>> gamma,
                         std::type_identity_t<In<T, Batch, R>> mean, std::type_identity_t<In<T, Batch, R>> rstd,
                         std::type_identity_t<In<T, Batch, R, N>> dy, Into<T, Batch, R, N> dx, Into<T, N> dgamma,
                         Into<T, N> dbeta, Span<T>) {
  using Team = cuda::LayerNormBackwardTeam<T, N>;
  const std::size_t rows = static_cast<std::size_t>(x.batch) * R;
  const auto chunks = cuda::LayerNormChunks::of<Team>(rows);
  cuda::ScratchAllocator scratch(dev);
  T* const sums = dgamma || dbeta ? scratch.take<T>(std::size_t{chunks.capacity} * 2 * N) : nullptr;
  const cuda::LayerNormBackward<T> a{x.data, dy.data, gamma.data, mean.data, rstd.data, dx.data, sums, dx.accumulate};
  const auto long_rows = [&] {
    cuda::launch(dev, "layer_norm_backward_long", cuda::layer_norm_backward_long<T>, {chunks.count},
                 {cuda::layer_norm_threads}, sizeof(cuda::BlockReduce<T, cuda::layer_norm_threads>), a, rows,
                 chunks.grain, N);
  };
  if constexpr (Team::held) {
    if (Team::size == 1 || a.wide())
      cuda::launch(dev, "layer_norm_backward_held", cuda::layer_norm_backward_held<N, T>, {chunks.count},
                   {Team::threads}, sizeof(cuda::LayerNormShared<Team>), a, rows, chunks.grain);
    else
      long_rows();
  } else {
    long_rows();
  }
  if (dgamma || dbeta)
    cuda::launch(dev, "layer_norm_combine", cuda::layer_norm_combine<T>, {cuda::blocks_for(2 * N, cuda::warp_size)},
                 {cuda::layer_norm_threads}, sizeof(cuda::LayerNormCombine<T>), sums, chunks.count, N,
                 cuda::LayerNormGradient<T>{dgamma.data, dgamma.accumulate},
                 cuda::LayerNormGradient<T>{dbeta.data, dbeta.accumulate});
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
