// Batch normalization of each channel over batch and space, as torch.nn.BatchNorm1d and 2d.
//   x (B, S, C), gamma, beta (C) -> y (B, S, C)     S = h * w, or 1; gamma and beta may be null (1 and 0)
//   training stores mean and rstd = 1 / sqrt(var + eps) (C) for the backward pass. It moves the running statistics by
//   `momentum`, with the unbiased variance, unless the StepState is stopped.
// Strategy  a block covers a tile of channels: adjacent threads take adjacent channels, the other threads take the rows
//           below. Up to 16 rows per thread (1024 rows of many channels, 4096 of one), a block takes all rows of its
//           channels, in one launch. Otherwise rows are split into at most 512 chunks, in three launches: the moments or
//           sums of the chunks; their combination, one warp per channel; the elements. A thread computes mean and M2 (the
//           sum of squared deviations) of 8 rows in registers, in two passes. Chan's formula merges them in an order
//           fixed by the shape.
// Cost      training 12 bytes per element, inference 8, backward 20: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/collective.cuh"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned batch_norm_threads = 256;
inline constexpr int batch_norm_rows = 8;  // rows that a thread holds at a time

/// Adjacent channels of a thread: 16 bytes of them if that divides the channels, else one.
template <class T>
constexpr int batch_norm_piece(int channels) {
  return channels % Wide<T>::size == 0 ? Wide<T>::size : 1;
}

/// How a block covers (rows, channels): `down` rows of `across` threads, each with one piece of channels. blockIdx.y is the
/// tile of channels.
struct BatchNormTile {
  std::size_t rows;
  unsigned channels, across, down, tiles;

  BatchNormTile(std::size_t r, int c, int piece, unsigned max_across) : rows(r), channels(static_cast<unsigned>(c)) {
    const unsigned pieces = static_cast<unsigned>(c / piece);
    tiles = (pieces + max_across - 1) / max_across;
    across = (pieces + tiles - 1) / tiles;
    down = batch_norm_threads / across;
  }
};

/// The rows of a chunk and the number of chunks. They depend only on the shape.
struct BatchNormChunks {
  static constexpr std::size_t max = 512;
  std::size_t grain;
  unsigned count, capacity;  // capacity never shrinks as rows grow

  explicit BatchNormChunks(const BatchNormTile& tile) {
    const std::size_t min = std::size_t{tile.down} * batch_norm_rows;
    grain = ((tile.rows + max - 1) / max + min - 1) / min * min;
    count = blocks_for(tile.rows, grain);
    capacity = tile.rows >= min * max ? static_cast<unsigned>(max) : blocks_for(tile.rows, min);
  }
};

/// A thread's first channel and its row in the block. Surplus threads have no row: they are not `live`.
template <int Piece>
struct BatchNormPlace {
  unsigned channel, row;
  bool live;

  __device__ explicit BatchNormPlace(const BatchNormTile& tile) {
    row = threadIdx.x / tile.across;
    channel = (blockIdx.y * tile.across + threadIdx.x % tile.across) * Piece;
    live = row < tile.down && channel < tile.channels;
  }
  /// Whether this thread writes the results of its channels.
  __device__ bool first() const { return live && row == 0; }
};

/// Moments of some rows, for Piece channels. The number of words is odd, to avoid bank conflicts between threads.
template <class T, int Piece>
struct BatchNormMoments {
  T n, mean[Piece], m2[Piece];
};
template <class T, int Piece>
struct BatchNormSums {
  T dy[Piece], dy_x[Piece], unused;  // sums of dy and dy (x - mean)
};

/// Chan's formula. If all values are equal, M2 is exactly 0.
struct BatchNormMergeMoments {
  template <class T, int Piece>
  __device__ BatchNormMoments<T, Piece> operator()(const BatchNormMoments<T, Piece>& a,
                                                   const BatchNormMoments<T, Piece>& b) const {
    if (b.n == 0) return a;
    BatchNormMoments<T, Piece> r;
    r.n = a.n + b.n;
    const T share = b.n / r.n, both = a.n * share;
    for (int k = 0; k < Piece; ++k) {
      const T delta = b.mean[k] - a.mean[k];
      r.mean[k] = a.n == 0 ? b.mean[k] : a.mean[k] + delta * share;
      r.m2[k] = a.n == 0 ? b.m2[k] : a.m2[k] + b.m2[k] + delta * delta * both;
    }
    return r;
  }
};
struct BatchNormAddSums {
  template <class T, int Piece>
  __device__ BatchNormSums<T, Piece> operator()(const BatchNormSums<T, Piece>& a,
                                                const BatchNormSums<T, Piece>& b) const {
    BatchNormSums<T, Piece> r{};
    for (int k = 0; k < Piece; ++k) r.dy[k] = a.dy[k] + b.dy[k], r.dy_x[k] = a.dy_x[k] + b.dy_x[k];
    return r;
  }
};

/// Merges the values of all threads of the block that have the same channels, by halves. Each of these threads returns
/// the result.
template <class Value>
struct BatchNormMerge {
  Value of_thread[batch_norm_threads];

  template <class Merge>
  __device__ Value operator()(Value v, const BatchNormTile& tile, Merge merge) {
    const unsigned row = threadIdx.x / tile.across;
    of_thread[threadIdx.x] = v;
    unsigned half = 1;
    while (half < tile.down) half *= 2;
    for (half /= 2; half > 0; half /= 2) {
      __syncthreads();
      if (row < half && row + half < tile.down) {
        v = merge(v, of_thread[threadIdx.x + half * tile.across]);
        of_thread[threadIdx.x] = v;
      }
    }
    __syncthreads();
    return of_thread[threadIdx.x % tile.across];
  }
};

/// Moments of rows begin, begin + down, ... before end. x points to the thread's channels.
template <bool Aligned, int Piece, class T>
__device__ BatchNormMoments<T, Piece> batch_norm_moments_of_rows(const T* x, std::size_t begin, std::size_t end,
                                                                 const BatchNormTile& tile) {
  BatchNormMoments<T, Piece> all{};
  const std::size_t channels = tile.channels, down = tile.down;
  for (std::size_t r = begin; r < end; r += batch_norm_rows * down) {
    T v[batch_norm_rows][Piece];
    int n = 0;
    for (int i = 0; i < batch_norm_rows; ++i)
      if (r + i * down < end) {
        load_values<Aligned>(x + (r + i * down) * channels, v[i]);
        n = i + 1;
      }
    BatchNormMoments<T, Piece> some;
    some.n = static_cast<T>(n);
    for (int k = 0; k < Piece; ++k) {
      T s = 0, q = 0;  // relative to the first row: a mean far from 0 loses no digits
      for (int i = 1; i < batch_norm_rows; ++i)
        if (i < n) s += v[i][k] - v[0][k];
      some.mean[k] = v[0][k] + s / some.n;
      for (int i = 0; i < batch_norm_rows; ++i) {
        const T d = v[i][k] - some.mean[k];
        if (i < n) q += d * d;
      }
      some.m2[k] = q;
    }
    all = BatchNormMergeMoments{}(all, some);
  }
  return all;
}

/// What training stores for each channel: arrays (C).
template <class T>
struct BatchNormState {
  T epsilon, momentum;
  T *running_mean, *running_var, *mean, *rstd;
  const StepState* step;

  __device__ T scale(T m2, std::size_t rows) const { return T(1) / root_of(m2 / static_cast<T>(rows) + epsilon); }
  __device__ void keep(unsigned c, T mu, T m2, std::size_t rows) const {
    mean[c] = mu;
    rstd[c] = scale(m2, rows);
    if (step->stopped != 0) return;
    const T unbiased = m2 / static_cast<T>(rows > 1 ? rows - 1 : 1);
    running_mean[c] = math::flush_denormal(running_mean[c] + momentum * (mu - running_mean[c]));
    running_var[c] = math::flush_denormal(running_var[c] + momentum * (unbiased - running_var[c]));
  }
};

/// What normalizes a channel: arrays (C). gamma and beta may be null. rstd is null in inference, var in training.
template <class T>
struct BatchNormFactors {
  const T *mean, *rstd, *var, *gamma, *beta;
  T epsilon;
};

/// y = (x - mean) scale + shift, for Piece channels.
template <class T, int Piece>
struct BatchNormOutput {
  T mean[Piece], scale[Piece], shift[Piece];

  __device__ void set(int k, T mu, T rstd, const T* gamma, const T* beta, unsigned c) {
    mean[k] = mu;
    scale[k] = gamma ? gamma[c] * rstd : rstd;
    shift[k] = beta ? beta[c] : T(0);
  }
  template <bool Aligned>
  __device__ void rows(const T* x, std::size_t begin, std::size_t end, const BatchNormTile& tile, T* y) const {
    const std::size_t channels = tile.channels, down = tile.down;
    for (std::size_t r = begin; r < end; r += batch_norm_rows * down) {
      T v[batch_norm_rows][Piece];
      for (int i = 0; i < batch_norm_rows; ++i)
        if (r + i * down < end) load_values<Aligned>(x + (r + i * down) * channels, v[i]);
      for (int i = 0; i < batch_norm_rows; ++i) {
        for (int k = 0; k < Piece; ++k) v[i][k] = (v[i][k] - mean[k]) * scale[k] + shift[k];
        if (r + i * down < end) store_values<Aligned>(y + (r + i * down) * channels, v[i]);
      }
    }
  }
};

// --- forward ---------------------------------------------------------------------------------------------------------

template <bool Aligned, int Piece, class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_whole(const T* x, BatchNormTile tile, BatchNormState<T> state, const T* gamma, const T* beta, T* y) {
  auto& merge = shared_memory<BatchNormMerge<BatchNormMoments<T, Piece>>>();
  const BatchNormPlace<Piece> at(tile);
  BatchNormMoments<T, Piece> m{};
  if (at.live) m = batch_norm_moments_of_rows<Aligned, Piece>(x + at.channel, at.row, tile.rows, tile);
  m = merge(m, tile, BatchNormMergeMoments{});
  if (!at.live) return;
  BatchNormOutput<T, Piece> f;
  for (int k = 0; k < Piece; ++k) {
    if (at.row == 0) state.keep(at.channel + k, m.mean[k], m.m2[k], tile.rows);
    f.set(k, m.mean[k], state.scale(m.m2[k], tile.rows), gamma, beta, at.channel + k);
  }
  f.template rows<Aligned>(x + at.channel, at.row, tile.rows, tile, y + at.channel);
}

// of_chunk (C, chunks)
template <bool Aligned, int Piece, class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_moments(const T* x, BatchNormTile tile, std::size_t grain, BatchNormMoments<T, 1>* of_chunk) {
  auto& merge = shared_memory<BatchNormMerge<BatchNormMoments<T, Piece>>>();
  const BatchNormPlace<Piece> at(tile);
  const std::size_t begin = blockIdx.x * grain, end = tile.rows - begin < grain ? tile.rows : begin + grain;
  BatchNormMoments<T, Piece> m{};
  if (at.live) m = batch_norm_moments_of_rows<Aligned, Piece>(x + at.channel, begin + at.row, end, tile);
  m = merge(m, tile, BatchNormMergeMoments{});
  if (at.first())
    for (int k = 0; k < Piece; ++k)
      of_chunk[static_cast<std::size_t>(at.channel + k) * gridDim.x + blockIdx.x] = {m.n, {m.mean[k]}, {m.m2[k]}};
}

// One warp per channel.
template <class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_combine(const BatchNormMoments<T, 1>* of_chunk, unsigned chunks, std::size_t rows, unsigned channels,
                       BatchNormState<T> state) {
  const unsigned c = blockIdx.x * (batch_norm_threads / warp_size) + warp();
  if (c >= channels) return;
  const BatchNormMergeMoments merge{};
  BatchNormMoments<T, 1> m{};
  for (unsigned k = lane(); k < chunks; k += warp_size)
    m = merge(m, of_chunk[static_cast<std::size_t>(c) * chunks + k]);
  for (unsigned by = warp_size / 2; by > 0; by /= 2)
    m = merge(m, BatchNormMoments<T, 1>{__shfl_down_sync(all_lanes, m.n, by),
                                        {__shfl_down_sync(all_lanes, m.mean[0], by)},
                                        {__shfl_down_sync(all_lanes, m.m2[0], by)}});
  if (lane() == 0) state.keep(c, m.mean[0], m.m2[0], rows);
}

template <bool Aligned, int Piece, class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_normalise(const T* x, BatchNormTile tile, BatchNormFactors<T> f, T* y) {
  const BatchNormPlace<Piece> at(tile);
  if (!at.live) return;
  BatchNormOutput<T, Piece> by;
  for (int k = 0; k < Piece; ++k) {
    const unsigned c = at.channel + k;
    by.set(k, f.mean[c], f.rstd ? f.rstd[c] : T(1) / root_of(f.var[c] + f.epsilon), f.gamma, f.beta, c);
  }
  const std::size_t grain = batch_norm_rows * tile.down, begin = blockIdx.x * grain;
  const std::size_t end = tile.rows - begin < grain ? tile.rows : begin + grain;
  by.template rows<Aligned>(x + at.channel, begin + at.row, end, tile, y + at.channel);
}

template <int Piece, class T>
void batch_norm_normalise_all(const Cuda& dev, const T* x, const BatchNormTile& tile, const BatchNormFactors<T>& f,
                              T* y) {
  const bool aligned = is_wide_aligned(x) && is_wide_aligned(y);
  launch(dev, "batch_norm_normalise",
         aligned ? batch_norm_normalise<true, Piece, T> : batch_norm_normalise<Piece == 1, Piece, T>,
         {blocks_for(tile.rows, std::size_t{tile.down} * batch_norm_rows), tile.tiles}, {batch_norm_threads}, 0, x,
         tile, f, y);
}

// --- backward --------------------------------------------------------------------------------------------------------

/// Arrays of the backward pass: (rows, C) or (C). gamma and the gradients dx, dgamma and dbeta may be null.
template <class T>
struct BatchNormGradients {
  const T *x, *dy, *gamma, *mean, *rstd;
  T *dx, *dgamma, *dbeta;
  bool add_dx, add_dgamma, add_dbeta;

  bool wide() const { return is_wide_aligned(x) && is_wide_aligned(dy) && is_wide_aligned(dx); }
  __device__ void keep(unsigned c, T sum_dy, T sum_dy_x) const {
    if (dgamma) dgamma[c] = (add_dgamma ? dgamma[c] : T(0)) + sum_dy_x * rstd[c];
    if (dbeta) dbeta[c] = (add_dbeta ? dbeta[c] : T(0)) + sum_dy;
  }
};

/// Sums over rows begin, begin + down, ... before end, for Piece channels from c on.
template <bool Aligned, int Piece, class T>
__device__ BatchNormSums<T, Piece> batch_norm_sums_of_rows(const BatchNormGradients<T>& g, unsigned c,
                                                           std::size_t begin, std::size_t end,
                                                           const BatchNormTile& tile) {
  BatchNormSums<T, Piece> all{};
  T mean[Piece];
  for (int k = 0; k < Piece; ++k) mean[k] = g.mean[c + k];
  const std::size_t channels = tile.channels, down = tile.down;
  constexpr int held = batch_norm_rows / 2;  // rows of x and of dy
  for (std::size_t r = begin; r < end; r += held * down) {
    T x[held][Piece], dy[held][Piece];
    for (int i = 0; i < held; ++i)
      if (r + i * down < end) {
        load_values<Aligned>(g.x + (r + i * down) * channels + c, x[i]);
        load_values<Aligned>(g.dy + (r + i * down) * channels + c, dy[i]);
      }
    for (int i = 0; i < held; ++i)
      if (r + i * down < end)
        for (int k = 0; k < Piece; ++k) {
          all.dy[k] += dy[i][k];
          all.dy_x[k] += dy[i][k] * (x[i][k] - mean[k]);
        }
  }
  return all;
}

/// dx = dy scale + (x - mean) by_x + constant, which equals gamma rstd (dy - dbeta / n - xhat dgamma / n).
template <class T, int Piece>
struct BatchNormInputGradient {
  T mean[Piece], scale[Piece], by_x[Piece], constant[Piece];

  __device__ void set(int k, const BatchNormGradients<T>& g, unsigned c, std::size_t rows, T sum_dy, T sum_dy_x) {
    const T n = static_cast<T>(rows), rstd = g.rstd[c];
    mean[k] = g.mean[c];
    scale[k] = g.gamma ? g.gamma[c] * rstd : rstd;
    by_x[k] = -scale[k] * rstd * rstd * (sum_dy_x / n);
    constant[k] = -scale[k] * (sum_dy / n);
  }
  template <bool Aligned>
  __device__ void rows(const BatchNormGradients<T>& g, unsigned c, std::size_t begin, std::size_t end,
                       const BatchNormTile& tile) const {
    const std::size_t channels = tile.channels, down = tile.down;
    constexpr int held = batch_norm_rows / 2;
    for (std::size_t r = begin; r < end; r += held * down) {
      T x[held][Piece], dy[held][Piece];
      for (int i = 0; i < held; ++i)
        if (r + i * down < end) {
          load_values<Aligned>(g.x + (r + i * down) * channels + c, x[i]);
          load_values<Aligned>(g.dy + (r + i * down) * channels + c, dy[i]);
        }
      for (int i = 0; i < held; ++i)
        if (r + i * down < end) {
          T* const dx = g.dx + (r + i * down) * channels + c;
          T old[Piece] = {};
          if (g.add_dx) load_values<Aligned>(dx, old);
          for (int k = 0; k < Piece; ++k)
            dy[i][k] = old[k] + (dy[i][k] * scale[k] + ((x[i][k] - mean[k]) * by_x[k] + constant[k]));
          store_values<Aligned>(dx, dy[i]);
        }
    }
  }
};

template <bool Aligned, int Piece, class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_backward_whole(BatchNormGradients<T> g, BatchNormTile tile) {
  auto& merge = shared_memory<BatchNormMerge<BatchNormSums<T, Piece>>>();
  const BatchNormPlace<Piece> at(tile);
  BatchNormSums<T, Piece> s{};
  if (at.live) s = batch_norm_sums_of_rows<Aligned, Piece>(g, at.channel, at.row, tile.rows, tile);
  s = merge(s, tile, BatchNormAddSums{});
  if (at.first())
    for (int k = 0; k < Piece; ++k) g.keep(at.channel + k, s.dy[k], s.dy_x[k]);
  if (!at.live || !g.dx) return;
  BatchNormInputGradient<T, Piece> f;
  for (int k = 0; k < Piece; ++k) f.set(k, g, at.channel + k, tile.rows, s.dy[k], s.dy_x[k]);
  f.template rows<Aligned>(g, at.channel, at.row, tile.rows, tile);
}

/// Sums of dy and of dy (x - mean).
template <class T>
struct alignas(2 * sizeof(T)) BatchNormTwoSums {
  T dy, dy_x;
};

// of_chunk (C, chunks)
template <bool Aligned, int Piece, class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_gradient_sums(BatchNormGradients<T> g, BatchNormTile tile, std::size_t grain,
                             BatchNormTwoSums<T>* of_chunk) {
  auto& merge = shared_memory<BatchNormMerge<BatchNormSums<T, Piece>>>();
  const BatchNormPlace<Piece> at(tile);
  const std::size_t begin = blockIdx.x * grain, end = tile.rows - begin < grain ? tile.rows : begin + grain;
  BatchNormSums<T, Piece> s{};
  if (at.live) s = batch_norm_sums_of_rows<Aligned, Piece>(g, at.channel, begin + at.row, end, tile);
  s = merge(s, tile, BatchNormAddSums{});
  if (at.first())
    for (int k = 0; k < Piece; ++k)
      of_chunk[static_cast<std::size_t>(at.channel + k) * gridDim.x + blockIdx.x] = {s.dy[k], s.dy_x[k]};
}

// One warp per channel; sums (C).
template <class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_gradient_combine(const BatchNormTwoSums<T>* of_chunk, unsigned chunks, unsigned channels,
                                BatchNormGradients<T> g, BatchNormTwoSums<T>* sums) {
  const unsigned c = blockIdx.x * (batch_norm_threads / warp_size) + warp();
  if (c >= channels) return;
  T dy = 0, dy_x = 0;
  for (unsigned k = lane(); k < chunks; k += warp_size) {
    const BatchNormTwoSums<T> s = of_chunk[static_cast<std::size_t>(c) * chunks + k];
    dy += s.dy;
    dy_x += s.dy_x;
  }
  dy = warp_sum(dy);
  dy_x = warp_sum(dy_x);
  if (lane() != 0) return;
  sums[c] = {dy, dy_x};
  g.keep(c, dy, dy_x);
}

template <bool Aligned, int Piece, class T>
__global__ void __launch_bounds__(batch_norm_threads)
    batch_norm_input_gradient(BatchNormGradients<T> g, BatchNormTile tile, const BatchNormTwoSums<T>* sums) {
  const BatchNormPlace<Piece> at(tile);
  if (!at.live) return;
  BatchNormInputGradient<T, Piece> f;
  for (int k = 0; k < Piece; ++k) {
    const BatchNormTwoSums<T> s = sums[at.channel + k];
    f.set(k, g, at.channel + k, tile.rows, s.dy, s.dy_x);
  }
  const std::size_t grain = batch_norm_rows * tile.down, begin = blockIdx.x * grain;
  const std::size_t end = tile.rows - begin < grain ? tile.rows : begin + grain;
  f.template rows<Aligned>(g, at.channel, begin + at.row, end, tile);
}

// --- one launch, or three --------------------------------------------------------------------------------------------

/// The tile of blocks that take all rows of their channels: 64 bytes of channels, so that there are many blocks.
template <int Piece, class T>
BatchNormTile batch_norm_whole_tile(std::size_t rows, int channels) {
  return {rows, channels, Piece, static_cast<unsigned>(64 / sizeof(T) / Piece)};
}
/// Whether one block takes all rows of its channels.
inline bool batch_norm_is_whole(const BatchNormTile& tile) {
  return tile.rows <= std::size_t{2} * batch_norm_rows * tile.down;
}

template <int Piece, class T>
void batch_norm_training(const Cuda& dev, const T* x, std::size_t rows, int channels, const BatchNormState<T>& state,
                         const T* gamma, const T* beta, T* y) {
  constexpr std::size_t shared = sizeof(BatchNormMerge<BatchNormMoments<T, Piece>>);
  const BatchNormTile whole = batch_norm_whole_tile<Piece, T>(rows, channels), tile(rows, channels, Piece, warp_size);
  if (batch_norm_is_whole(whole)) {
    launch(dev, "batch_norm_whole",
           is_wide_aligned(x) && is_wide_aligned(y) ? batch_norm_whole<true, Piece, T>
                                                    : batch_norm_whole<Piece == 1, Piece, T>,
           {1, whole.tiles}, {batch_norm_threads}, shared, x, whole, state, gamma, beta, y);
    return;
  }
  const BatchNormChunks chunks(tile);
  ScratchAllocator scratch(dev);
  BatchNormMoments<T, 1>* const of_chunk =
      scratch.take<BatchNormMoments<T, 1>>(std::size_t{chunks.capacity} * static_cast<std::size_t>(channels));
  launch(dev, "batch_norm_moments",
         is_wide_aligned(x) ? batch_norm_moments<true, Piece, T> : batch_norm_moments<Piece == 1, Piece, T>,
         {chunks.count, tile.tiles}, {batch_norm_threads}, shared, x, tile, chunks.grain, of_chunk);
  launch(dev, "batch_norm_combine", batch_norm_combine<T>, {blocks_for(tile.channels, batch_norm_threads / warp_size)},
         {batch_norm_threads}, 0, of_chunk, chunks.count, rows, tile.channels, state);
  batch_norm_normalise_all<Piece>(dev, x, tile,
                                  BatchNormFactors<T>{state.mean, state.rstd, nullptr, gamma, beta, state.epsilon}, y);
}

template <int Piece, class T>
void batch_norm_gradients(const Cuda& dev, const BatchNormGradients<T>& g, std::size_t rows, int channels) {
  constexpr std::size_t shared = sizeof(BatchNormMerge<BatchNormSums<T, Piece>>);
  const BatchNormTile whole = batch_norm_whole_tile<Piece, T>(rows, channels), tile(rows, channels, Piece, warp_size);
  const bool aligned = g.wide();
  if (batch_norm_is_whole(whole)) {
    launch(dev, "batch_norm_backward_whole",
           aligned ? batch_norm_backward_whole<true, Piece, T> : batch_norm_backward_whole<Piece == 1, Piece, T>,
           {1, whole.tiles}, {batch_norm_threads}, shared, g, whole);
    return;
  }
  const BatchNormChunks chunks(tile);
  ScratchAllocator scratch(dev);
  const std::size_t width = static_cast<std::size_t>(channels);
  BatchNormTwoSums<T>* const of_chunk = scratch.take<BatchNormTwoSums<T>>(chunks.capacity * width);
  BatchNormTwoSums<T>* const sums = scratch.take<BatchNormTwoSums<T>>(width);
  launch(dev, "batch_norm_gradient_sums",
         aligned ? batch_norm_gradient_sums<true, Piece, T> : batch_norm_gradient_sums<Piece == 1, Piece, T>,
         {chunks.count, tile.tiles}, {batch_norm_threads}, shared, g, tile, chunks.grain, of_chunk);
  launch(dev, "batch_norm_gradient_combine", batch_norm_gradient_combine<T>,
         {blocks_for(tile.channels, batch_norm_threads / warp_size)}, {batch_norm_threads}, 0, of_chunk, chunks.count,
         tile.channels, g, sums);
  if (g.dx)
    launch(dev, "batch_norm_input_gradient",
           aligned ? batch_norm_input_gradient<true, Piece, T> : batch_norm_input_gradient<Piece == 1, Piece, T>,
           {blocks_for(rows, std::size_t{tile.down} * batch_norm_rows), tile.tiles}, {batch_norm_threads}, 0, g, tile,
           sums);
}

}  // namespace cuda

/// Training: uses the statistics of this batch. momentum is the weight of the new value, like PyTorch's 0.1. The workspace
/// is not used.
template <class T, int S, int C>
void batch_norm_forward_training(Cuda& dev, CudaPointer<const StepState> step,
                                 std::type_identity_t<In<T, Batch, S, C>> x, std::type_identity_t<In<T, C>> gamma,
                                 std::type_identity_t<In<T, C>> beta, std::type_identity_t<T> epsilon,
                                 std::type_identity_t<T> momentum, Out<T, C> running_mean, Out<T, C> running_var,
                                 Out<T, C> saved_mean, Out<T, C> saved_rstd, Out<T, Batch, S, C> y, Span<T>) {
  const cuda::BatchNormState<T> state{epsilon,         momentum,        running_mean.data, running_var.data,
                                      saved_mean.data, saved_rstd.data, step.get()};
  cuda::batch_norm_training<cuda::batch_norm_piece<T>(C)>(dev, x.data, static_cast<std::size_t>(x.batch) * S, C, state,
                                                          gamma.data, beta.data, y.data);
}

/// Inference: uses the running statistics.
template <class T, int S, int C>
void batch_norm_forward_inference(Cuda& dev, std::type_identity_t<In<T, Batch, S, C>> x,
                                  std::type_identity_t<In<T, C>> gamma, std::type_identity_t<In<T, C>> beta,
                                  std::type_identity_t<T> epsilon, std::type_identity_t<In<T, C>> running_mean,
                                  std::type_identity_t<In<T, C>> running_var, Out<T, Batch, S, C> y) {
  constexpr int piece = cuda::batch_norm_piece<T>(C);
  const cuda::BatchNormTile tile(static_cast<std::size_t>(x.batch) * S, C, piece, cuda::warp_size);
  cuda::batch_norm_normalise_all<piece>(
      dev, x.data, tile,
      cuda::BatchNormFactors<T>{running_mean.data, nullptr, running_var.data, gamma.data, beta.data, epsilon}, y.data);
}

/// Gradients of batch_norm_forward_training. dx may be dy. The workspace is not used.
template <class T, int S, int C>
void batch_norm_backward(Cuda& dev, std::type_identity_t<In<T, Batch, S, C>> x, std::type_identity_t<In<T, C>> gamma,
                         std::type_identity_t<In<T, C>> saved_mean, std::type_identity_t<In<T, C>> saved_rstd,
                         std::type_identity_t<In<T, Batch, S, C>> dy, Into<T, Batch, S, C> dx, Into<T, C> dgamma,
                         Into<T, C> dbeta, Span<T>) {
  const cuda::BatchNormGradients<T> g{x.data,          dy.data,           gamma.data,      saved_mean.data,
                                      saved_rstd.data, dx.data,           dgamma.data,     dbeta.data,
                                      dx.accumulate,   dgamma.accumulate, dbeta.accumulate};
  cuda::batch_norm_gradients<cuda::batch_norm_piece<T>(C)>(dev, g, static_cast<std::size_t>(x.batch) * S, C);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
