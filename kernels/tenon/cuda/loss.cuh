// What losses have in common: the sums of a batch on their way from the threads to the host, or in a recorded step to the
// control block; and losses that look at one element at a time.
// Strategy  a thread adds what it sees in double, a block adds its threads, a second kernel of one block its blocks. A
//           loss of one block needs no second kernel: at the sizes of MNIST a launch costs more than the work.
//           Orders depend on the shape alone.
// Cost      of elements: 8 bytes a value of float, 12 with the gradient, bound by memory; 16 bytes a thread and access.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/core/arguments.hpp"
#include "tenon/cuda/collective.cuh"
#include "tenon/cuda/launch.cuh"

namespace tenon::kernels::cuda {

inline constexpr unsigned loss_threads = 256;  // of a block, where there are several
inline constexpr unsigned loss_blocks = 1024;  // at most, so that one block adds them in four turns

__device__ __forceinline__ float log_of(float x) { return logf(x); }
__device__ __forceinline__ double log_of(double x) { return log(x); }
__device__ __forceinline__ float log1p_of(float x) { return log1pf(x); }
__device__ __forceinline__ double log1p_of(double x) { return log1p(x); }

/// What a thread, a block or the batch has seen.
struct LossPart {
  double loss = 0;
  long long correct = 0;
};

/// One part a warp.
struct LossShared {
  double loss[32];
  long long correct[32];
};

/// Where the sums of a batch go, and what of them the host knows.
struct LossEnd {
  LossPart* parts;        // one a block, where there are several
  LossSums* sums;         // for the host
  CudaCursor* cursor;     // of a recorded step, or null
  LossSums* total;        // where a recorded step leaves them, or null
  const double* divisor;  // sum of the class weights that the batch's labels have, or null:
  double weight;          // the sum of the weights is this
  long long count;
};

__device__ __forceinline__ LossPart loss_of_warp(LossPart p) {
  p.loss = warp_sum(p.loss);
  p.correct = warp_sum(p.correct);
  return p;
}

/// The sum over the block, in the first warp. All threads call it, and blockDim.x is a multiple of 32. A barrier has to
/// follow before `shared` is used again.
__device__ __forceinline__ LossPart loss_of_block(LossPart p, LossShared& shared) {
  p = loss_of_warp(p);
  if (lane() == 0) {
    shared.loss[warp()] = p.loss;
    shared.correct[warp()] = p.correct;
  }
  __syncthreads();
  if (warp() > 0) return p;
  const bool live = lane() < blockDim.x / warp_size;
  p.loss = live ? shared.loss[lane()] : 0;
  p.correct = live ? shared.correct[lane()] : 0;
  return loss_of_warp(p);
}

/// By one thread. Whether a recorded training goes on with such a loss is judged where the gradient is, in recorder.cuh.
__device__ inline void deliver_loss(const LossPart& p, double weight, const LossEnd& end) {
  LossSums sums;
  sums.loss_sum = p.loss;
  sums.weight_sum = weight;
  sums.correct = p.correct;
  sums.count = end.count;
  *(end.cursor ? end.total : end.sums) = sums;
}

/// The last that a block of a loss's kernel does, all threads together.
__device__ __forceinline__ void finish_loss(const LossPart& mine, LossShared& shared, double weight,
                                            const LossEnd& end) {
  const LossPart p = loss_of_block(mine, shared);
  if (threadIdx.x > 0) return;
  if (gridDim.x == 1)
    deliver_loss(p, weight, end);
  else
    end.parts[blockIdx.x] = p;
}

template <unsigned Threads>
__global__ void loss_combine(unsigned n, LossEnd end) {
  LossPart p;
  for (unsigned i = threadIdx.x; i < n; i += Threads) {
    p.loss += end.parts[i].loss;
    p.correct += end.parts[i].correct;
  }
  p = loss_of_block(p, shared_memory<LossShared>());
  if (threadIdx.x == 0) deliver_loss(p, end.divisor ? *end.divisor : end.weight, end);
}

/// The host's side: memory for the sums, and what follows the loss's kernel of so many blocks.
class LossDelivery {
 public:
  LossDelivery(const Cuda& dev, unsigned blocks, double weight, long long count)
      : scratch(dev),
        end{scratch.take<LossPart>(blocks > 1 ? blocks : 0),
            scratch.take<LossSums>(1),
            dev.state().cursor,
            dev.state().loss_sums,
            nullptr,
            weight,
            count},
        dev_(dev),
        blocks_(blocks) {}

  /// Waits for the sums, but for those of a recorded step, which stay on the device.
  void operator()(LossSums* sums) const {
    if (blocks_ > 1)
      launch(dev_, "loss_combine", loss_combine<loss_threads>, {1}, {loss_threads}, sizeof(LossShared), blocks_, end);
    if (!end.cursor) download(dev_, end.sums, sums, 1);
  }

  Scratch scratch;
  LossEnd end;

 private:
  const Cuda& dev_;
  unsigned blocks_;
};

inline constexpr unsigned loss_most_threads = 512;  // of a block alone; a thread of 1024 would have too few registers

// f(y, target, part) adds to the part and gives the gradient.
template <class T, class F>
__global__ void __launch_bounds__(loss_most_threads)
    loss_of_elements(const T* y, const T* target, T* dy, std::size_t n, bool wide, F f, LossEnd end) {
  constexpr int size = Wide<T>::size;
  LossPart part;
  const std::size_t all = static_cast<std::size_t>(gridDim.x) * blockDim.x * size;
  for (std::size_t i = global_thread() * size; i < n; i += all) {
    if (wide && n - i >= size) {
      Wide<T> u = load_wide(y + i);
      const Wide<T> t = load_wide(target + i);
      for (int k = 0; k < size; ++k) u.v[k] = f(u.v[k], t.v[k], part);
      if (dy) store_wide(dy + i, u);
    } else {
      for (std::size_t k = i; k < n && k < i + size; ++k) {
        const T d = f(y[k], target[k], part);
        if (dy) dy[k] = d;
      }
    }
  }
  finish_loss(part, shared_memory<LossShared>(), end.weight, end);
}

/// Sums and gradient of a loss that looks at one of n elements at a time. dy may be null, or y.
template <class T, class F>
void elementwise_loss(const Cuda& dev, const char* name, const T* y, const T* target, T* dy, std::size_t n,
                      long long count, F f, LossSums* sums) {
  constexpr std::size_t size = Wide<T>::size, most_of_one_block = 8192;
  const bool one = n <= most_of_one_block;
  const unsigned pieces = blocks_for(n, size);
  const unsigned threads = !one                         ? loss_threads
                           : pieces < loss_most_threads ? blocks_for(pieces, warp_size) * warp_size
                                                        : loss_most_threads;
  const unsigned needed = one ? 1 : blocks_for(n, size * threads), blocks = needed < loss_blocks ? needed : loss_blocks;
  const LossDelivery deliver(dev, blocks, static_cast<double>(n), count);
  const bool wide = is_wide_aligned(y) && is_wide_aligned(target) && is_wide_aligned(dy);
  launch(dev, name, loss_of_elements<T, F>, {blocks}, {threads}, sizeof(LossShared), y, target, dy, n, wide, f,
         deliver.end);
  deliver(sums);
}

}  // namespace tenon::kernels::cuda
