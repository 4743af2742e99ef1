// Softmax cross-entropy: loss, gradient and accuracy in one pass over the logits, as cpu/cross_entropy.hpp.
//   logits (B, C), labels (B) in [0, C)   ->   sums, dlogits (B, C) unless null; dlogits may be logits
//   row loss = (1 - s) w[y] (-log p[y]) + s / C sum of w[c] (-log p[c])
// The mean divides by the sum of w[y]. If the sum is 0, the gradient of the mean is 0.
// Strategy  C <= 32: rows are in shared memory, read and written without gaps, and a thread owns a row: no shuffles, and
//           the exponentials do not depend on each other. One block up to 1024 rows.
//           C > 32: a warp owns a row. The row is in registers up to 16 floats or 8 doubles per lane, else it is read
//           again for each step. One block up to 128 rows.
//           The largest logit is subtracted before exp, so nothing overflows and the sum is at least 1.
// Fits      any B and C. Class weights are kernel arguments, so they may take at most 2048 bytes.
// Cost      4 B (2 C + 1) bytes, B C exponentials. One launch if one block suffices, else two. Class weights then need one
//           more launch, which adds the weights of the batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <climits>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tenon/common/cross_entropy.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/loss_sums.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/activation_function.cuh"
#include "tenon/cuda/loss.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

/// All classes have weight 1.
struct EvenWeights {
  static constexpr bool even = true;
  __device__ __forceinline__ int operator()(int) const { return 1; }
};

/// Weights that are passed as a kernel argument.
template <int C>
struct GivenWeights {
  static constexpr bool even = false;
  float w[C];
  __device__ __forceinline__ float operator()(int c) const { return w[c]; }
};
inline constexpr std::size_t max_bytes_of_weights = 2048;  // of 4096 bytes of kernel arguments

template <class T>
struct CrossEntropyBatch {
  const T* logits;
  const std::int32_t* labels;
  T* dlogits;  // null: not wanted
  int batch;
  bool mean;       // gradient of the mean, else of the sum
  T kept, spread;  // 1 - s and s / C
  T all_weights;   // sum of the class weights

  /// The factor of the gradient for this divisor of the mean.
  __device__ __forceinline__ T scale(double divisor) const {
    return !mean ? T(1) : divisor == 0 ? T(0) : static_cast<T>(1 / divisor);
  }
};

/// The loss and gradient factors of a row, from its greatest logit and the sum of its exponentials.
template <class T>
struct CrossEntropyOfRow {
  T loss, factor, each, hit;  // dlogits[c] = factor exp(x[c] - greatest) - each w[c], minus hit at the label

  /// at_label is x[label] - greatest. below is the sum of w[c] (x[c] - greatest).
  __device__ __forceinline__ CrossEntropyOfRow(const CrossEntropyBatch<T>& r, T weight, T at_label, T total, T below,
                                               T scale) {
    const T log_total = log_of(total);
    loss = r.kept * weight * (log_total - at_label);
    if (r.spread != T(0)) loss += r.spread * (log_total * r.all_weights - below);
    each = r.spread * scale;
    hit = r.kept * weight * scale;
    factor = (hit + each * r.all_weights) / total;
  }
};

/// The host cannot check labels in device memory. A label outside [0, C) makes the loss NaN, which the trainer detects like
/// any loss that is not finite. The gradient of its row is 0.
template <int C>
__device__ __forceinline__ bool is_class(int label) {
  return label >= 0 && label < C;
}

/// The sum of the weights of a batch's labels, added by one block. Valid in the first warp.
template <int C, class W>
__device__ __forceinline__ double weights_of_batch(const std::int32_t* labels, int batch, const W& weights,
                                                   LossShared& shared) {
  LossPart p;
  for (int b = static_cast<int>(threadIdx.x); b < batch; b += static_cast<int>(blockDim.x))
    if (const int label = labels[b]; is_class<C>(label)) p.loss += static_cast<double>(weights(label));
  return loss_of_block(p, shared).loss;
}

template <unsigned Threads, int C, class W>
__global__ void __launch_bounds__(Threads)
    cross_entropy_divisor(const std::int32_t* labels, int batch, const __grid_constant__ W weights, double* divisor) {
  const double sum = weights_of_batch<C>(labels, batch, weights, shared_memory<LossShared>());
  if (threadIdx.x == 0) *divisor = sum;
}

/// Returns the divisor of the mean in every thread. All threads of the block must call it. They may reuse `shared` without
/// a barrier.
template <int C, class T, class W>
__device__ __forceinline__ double divisor_of(const CrossEntropyBatch<T>& r, const W& weights, LossShared& shared,
                                             double& of_all, const LossEnd& end) {
  if constexpr (W::even) {
    return end.weight;
  } else {
    if (end.divisor) return *end.divisor;
    const double sum = weights_of_batch<C>(r.labels, r.batch, weights, shared);  // there is one block
    if (threadIdx.x == 0) of_all = sum;
    __syncthreads();
    return of_all;
  }
}

/// Row stride, and maximum threads of a block. If a thread owns a row, the rows of a block fit in 48 KiB. The stride is
/// odd, so adjacent threads use different banks.
template <class T, int C>
struct CrossEntropyThreads {
  static constexpr int stride = C | 1;
  static constexpr unsigned max = [] {
    unsigned n = sizeof(T) == 4 ? 1024 : 256;  // the exponential of a double needs more than 64 registers
    while (C <= 32 && n * stride * sizeof(T) > 47 * 1024) n /= 2;
    return n;
  }();
};
template <class T, int C>
struct CrossEntropyTile {
  T x[CrossEntropyThreads<T, C>::max * CrossEntropyThreads<T, C>::stride];
  double divisor;
  LossShared sums;
};

template <class T, int C, class W>
__global__ void __launch_bounds__(CrossEntropyThreads<T, C>::max, 1)
    cross_entropy_thread_row(CrossEntropyBatch<T> r, const __grid_constant__ W weights, LossEnd end) {
  constexpr int stride = CrossEntropyThreads<T, C>::stride;
  CrossEntropyTile<T, C>& tile = shared_memory<CrossEntropyTile<T, C>>();
  const double divisor = divisor_of<C>(r, weights, tile.sums, tile.divisor, end);
  const T scale = r.scale(divisor);
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  LossPart part;
  for (long long first = static_cast<long long>(blockIdx.x) * threads; first < r.batch;
       first += static_cast<long long>(gridDim.x) * threads) {
    const int rows = r.batch - first < threads ? static_cast<int>(r.batch - first) : threads, n = rows * C;
    const int label = thread < rows ? r.labels[first + thread] : 0;
    const T* const logits = r.logits + first * C;
    for (int e = thread; e < n; e += threads) tile.x[e / C * stride + e % C] = logits[e];
    __syncthreads();
    if (thread < rows) {
      T* const x = tile.x + thread * stride;
      int top = 0;
      T greatest = x[0];
      for (int c = 1; c < C; ++c)
        if (x[c] > greatest) {
          greatest = x[c];
          top = c;
        }
      const bool known = is_class<C>(label);
      const int place = known ? label : 0;
      const T at_label = x[place] - greatest;
      T total = 0, below = 0;
      for (int c = 0; c < C; ++c) {
        const T under = x[c] - greatest;
        if (r.spread != T(0)) below += static_cast<T>(weights(c)) * under;
        x[c] = exp_of(under);
        total += x[c];
      }
      const T weight = static_cast<T>(weights(place));
      const CrossEntropyOfRow<T> row(r, weight, at_label, total, below, scale);
      part.loss += known ? static_cast<double>(row.loss) : math::detail::nan;
      part.correct += row.loss == row.loss && top == label;
      if (r.dlogits) {
        for (int c = 0; c < C; ++c) x[c] = known ? row.factor * x[c] - row.each * static_cast<T>(weights(c)) : T(0);
        if (known) x[place] -= row.hit;
      }
    }
    // A thread copies out the elements that it copied in, and overwrites the same ones in the next iteration.
    __syncthreads();
    if (r.dlogits) {
      T* const dlogits = r.dlogits + first * C;
      for (int e = thread; e < n; e += threads) dlogits[e] = tile.x[e / C * stride + e % C];
    }
  }
  finish_loss(part, tile.sums, divisor, end);
}

struct CrossEntropyShared {
  double divisor;
  LossShared sums;
};

template <class T, int C, class W>
__global__ void __launch_bounds__(CrossEntropyThreads<T, C>::max, 1)
    cross_entropy_warp_row(CrossEntropyBatch<T> r, const __grid_constant__ W weights, LossEnd end) {
  constexpr int n = (C + 31) / 32;  // values per lane
  constexpr bool in_registers = n * sizeof(T) <= 64;
  CrossEntropyShared& shared = shared_memory<CrossEntropyShared>();
  const double divisor = divisor_of<C>(r, weights, shared.sums, shared.divisor, end);
  const T scale = r.scale(divisor);
  const int warps = static_cast<int>(blockDim.x / warp_size);
  LossPart part;  // summed by lane 0 of each warp
  for (long long b = static_cast<long long>(blockIdx.x) * warps + warp(); b < r.batch;
       b += static_cast<long long>(gridDim.x) * warps) {
    const T* const x = r.logits + b * C;
    const int label = r.labels[b];
    const bool known = is_class<C>(label);
    const int place = known ? label : 0;
    T v[in_registers ? n : 1];
    T greatest = -static_cast<T>(math::detail::infinity);
    int top = INT_MAX;
    for (int i = 0; i < n; ++i) {
      const int c = static_cast<int>(lane()) + 32 * i;
      const T value = c < C ? x[c] : -static_cast<T>(math::detail::infinity);
      if constexpr (in_registers) v[i] = value;
      if (value > greatest) {
        greatest = value;
        top = c;
      }
    }
    const T label_value = x[place];  // before any lane overwrites it: the shuffles below synchronize the lanes
    for (int by = 16; by > 0; by /= 2) {
      const T other = __shfl_xor_sync(all_lanes, greatest, by);
      const int other_top = __shfl_xor_sync(all_lanes, top, by);
      if (other > greatest || (other == greatest && other_top < top)) {
        greatest = other;
        top = other_top;
      }
    }
    T total = 0, below = 0;
    for (int i = 0; i < n; ++i) {
      const int c = static_cast<int>(lane()) + 32 * i;
      if (c < C) {
        T value;
        if constexpr (in_registers)
          value = v[i];
        else
          value = x[c];
        const T under = value - greatest, e = exp_of(under);
        if (r.spread != T(0)) below += static_cast<T>(weights(c)) * under;
        if constexpr (in_registers) v[i] = e;
        total += e;
      }
    }
    total = warp_sum(total);
    if (r.spread != T(0)) below = warp_sum(below);
    const CrossEntropyOfRow<T> row(r, static_cast<T>(weights(place)), label_value - greatest, total, below, scale);
    if (lane() == 0) {
      part.loss += known ? static_cast<double>(row.loss) : math::detail::nan;
      part.correct += row.loss == row.loss && top == label;
    }
    if (!r.dlogits) continue;
    T* const dx = r.dlogits + b * C;
    for (int i = 0; i < n; ++i) {
      const int c = static_cast<int>(lane()) + 32 * i;
      if (c < C) {
        T e;
        if constexpr (in_registers)
          e = v[i];
        else
          e = exp_of(x[c] - greatest);
        const T d = row.factor * e - row.each * static_cast<T>(weights(c));
        dx[c] = !known ? T(0) : c == place ? d - row.hit : d;
      }
    }
  }
  finish_loss(part, shared.sums, divisor, end);
}

template <class T, int C, class W>
void cross_entropy_of(const Cuda& dev, const CrossEntropyBatch<T>& r, const W& weights, LossSums* sums) {
  constexpr bool thread_row = C <= 32;
  constexpr int max_of_one_block = thread_row ? 1024 : 128;
  constexpr std::size_t lanes = thread_row ? 1 : warp_size;  // threads per row
  constexpr unsigned max_threads = CrossEntropyThreads<T, C>::max;
  const std::size_t rows = static_cast<std::size_t>(r.batch), whole_warps = blocks_for(rows * lanes, warp_size);
  const bool one = r.batch <= max_of_one_block;
  const unsigned limit = !one && loss_threads < max_threads ? loss_threads : max_threads;
  const unsigned threads = whole_warps * warp_size < limit ? static_cast<unsigned>(whole_warps * warp_size) : limit;
  const unsigned needed = one ? 1 : blocks_for(rows * lanes, threads);
  const unsigned blocks = needed < loss_blocks ? needed : loss_blocks;
  LossDelivery deliver(dev, blocks, static_cast<double>(r.batch), r.batch, sums);
  if constexpr (!W::even) {
    double* const divisor = deliver.scratch.take<double>(1);
    if (blocks > 1) {
      launch(dev, "cross_entropy_divisor", cross_entropy_divisor<1024, C, W>, {1}, {1024}, sizeof(LossShared), r.labels,
             r.batch, weights, divisor);
      deliver.end.divisor = divisor;
    }
  }
  if constexpr (thread_row)
    launch(dev, "cross_entropy_thread_row", cross_entropy_thread_row<T, C, W>, {blocks}, {threads},
           sizeof(CrossEntropyTile<T, C>), r, weights, deliver.end);
  else
    launch(dev, "cross_entropy_warp_row", cross_entropy_warp_row<T, C, W>, {blocks}, {threads},
           sizeof(CrossEntropyShared), r, weights, deliver.end);
  deliver();
}

}  // namespace cuda

/// Does nothing: the kernel checks labels in device memory.
inline void check_labels(Cuda&, const std::int32_t*, int, int) {}

/// Computes the sums over the batch and, unless dlogits is null, the gradient of the mean or of the sum. `sums` is in
/// device memory. The call does not wait. A label outside [0, C) makes the loss NaN. Throws Error if there are class
/// weights and more than 512 classes.
template <class T, int C>
void cross_entropy(Cuda& dev, std::type_identity_t<In<T, Batch, C>> logits, const std::int32_t* labels,
                   const CrossEntropyOptions& options, Reduction reduction, Out<T, Batch, C> dlogits, LossSums* sums) {
  const double smoothing = static_cast<double>(options.label_smoothing);
  cuda::CrossEntropyBatch<T> r{logits.data,
                               labels,
                               dlogits.data,
                               logits.batch,
                               reduction == Reduction::mean,
                               static_cast<T>(1 - smoothing),
                               static_cast<T>(smoothing / C),
                               C};
  if (!options.class_weights) return cuda::cross_entropy_of<T, C>(dev, r, cuda::EvenWeights{}, sums);
  constexpr std::size_t max_classes = cuda::max_bytes_of_weights / sizeof(float);
  if constexpr (C <= max_classes) {
    cuda::GivenWeights<C> weights;
    double all = 0;
    for (int c = 0; c < C; ++c) {
      weights.w[c] = options.class_weights[c];
      all += static_cast<double>(weights.w[c]);
    }
    r.all_weights = static_cast<T>(all);
    cuda::cross_entropy_of<T, C>(dev, r, weights, sums);
  } else {
    throw Error("cross_entropy", "expected class weights of at most " + std::to_string(max_classes) +
                                     " classes on a GPU, got " + std::to_string(C));
  }
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
