// The common part of losses: how the sums of a batch get from the threads to the caller's LossSums in device memory. Also
// losses that are elementwise. The host does not wait for a result.
// Strategy  a thread adds its values in double, a block adds its threads, a second kernel of one block adds the blocks. A
//           loss of one block needs no second kernel: at the sizes of MNIST a launch costs more than the work. The order
//           of additions depends only on the shape.
// Cost      elementwise losses: 8 bytes per float value, 12 with the gradient, bound by memory; 16-byte accesses.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/core/loss_sums.hpp"
#include "tenon/cuda/collective.cuh"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

inline constexpr unsigned loss_threads = 256;  // of a block, if there are several
inline constexpr unsigned loss_blocks = 1024;  // at most, so that one block adds them in four iterations

__device__ __forceinline__ float log_of(float x) { return logf(x); }
__device__ __forceinline__ double log_of(double x) { return log(x); }
__device__ __forceinline__ float log1p_of(float x) { return log1pf(x); }
__device__ __forceinline__ double log1p_of(double x) { return log1p(x); }

/// The sums of a thread, a block or the batch.
struct LossPart {
  double loss = 0;
  long long correct = 0;
};

/// One part per warp.
struct LossShared {
  double loss[32];
  long long correct[32];
};

/// Where the sums of a batch are stored, and the values that the host knows.
struct LossEnd {
  LossPart* parts;        // one per block, if there are several
  LossSums* sums;         // of the batch
  const double* divisor;  // the sum of the class weights of the batch's labels; if null, `weight`
  double weight;
  long long count;  // decisions
};

__device__ __forceinline__ LossPart loss_of_warp(LossPart p) {
  p.loss = warp_sum(p.loss);
  p.correct = warp_sum(p.correct);
  return p;
}

/// Returns the sum over the block, valid in the first warp. All threads must call it. blockDim.x is a multiple of 32. A
/// barrier must follow before `shared` is used again.
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

/// Stores the sums of the batch. One thread calls it.
__device__ inline void deliver_loss(const LossPart& p, double weight, const LossEnd& end) {
  LossSums sums;
  sums.loss_sum = p.loss;
  sums.weight_sum = weight;
  sums.correct = p.correct;
  sums.count = end.count;
  *end.sums = sums;
}

/// The last step of a block of a loss kernel. All threads must call it.
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

/// The host side: memory for the parts, and the kernel that runs after a loss kernel of `blocks` blocks.
class LossDelivery {
 public:
  LossDelivery(const Cuda& dev, unsigned blocks, double weight, long long count, LossSums* sums)
      : scratch(dev),
        end{scratch.take<LossPart>(blocks > 1 ? blocks : 0), sums, nullptr, weight, count},
        dev_(dev),
        blocks_(blocks) {}

  void operator()() const {
    if (blocks_ > 1)
      launch(dev_, "loss_combine", loss_combine<loss_threads>, {1}, {loss_threads}, sizeof(LossShared), blocks_, end);
  }

  ScratchAllocator scratch;
  LossEnd end;

 private:
  const Cuda& dev_;
  unsigned blocks_;
};

inline constexpr unsigned loss_max_threads = 512;  // of a single block; with 1024 a thread would have too few registers

// f(y, target, part) adds to the part and returns the gradient.
template <class T, class F>
__global__ void __launch_bounds__(loss_max_threads)
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

/// Computes sums and gradient of an elementwise loss of n elements. dy may be null, or y. `sums` is in device memory.
/// `count` is the number of decisions.
template <class T, class F>
void elementwise_loss(const Cuda& dev, const char* name, const T* y, const T* target, T* dy, std::size_t n,
                      long long count, F f, LossSums* sums) {
  constexpr std::size_t size = Wide<T>::size, max_of_one_block = 8192;
  const bool one = n <= max_of_one_block;
  const unsigned pieces = blocks_for(n, size);
  const unsigned threads = !one                        ? loss_threads
                           : pieces < loss_max_threads ? blocks_for(pieces, warp_size) * warp_size
                                                       : loss_max_threads;
  const unsigned needed = one ? 1 : blocks_for(n, size * threads), blocks = needed < loss_blocks ? needed : loss_blocks;
  const LossDelivery deliver(dev, blocks, static_cast<double>(n), count, sums);
  const bool wide = is_wide_aligned(y) && is_wide_aligned(target) && is_wide_aligned(dy);
  launch(dev, name, loss_of_elements<T, F>, {blocks}, {threads}, sizeof(LossShared), y, target, dy, n, wide, f,
         deliver.end);
  deliver();
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
