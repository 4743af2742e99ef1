// Dropout: each element is dropped with probability num / den, the others are scaled by den / (den - num).
//   forward  x (B, ...) -> y       backward  dy (B, ...) -> dx       y may be x, dx may be dy
// The mask is a function of (seed, layer, step, position of the sample in the epoch, element), with the same bits as on the
// CPU. The kernel reads all of these but layer and element from the StepState. The backward pass draws the mask again
// instead of storing it.
// Strategy  a thread owns four elements, which need one call of Philox. 16 bytes per access if rows and pointers allow it.
// Cost      8 bytes per element, and 10 rounds of Philox per four elements, some 25 operations per element: about as long
//           as the memory accesses.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/common/dropout.hpp"
#include "tenon/core/random.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned dropout_threads = 256;

// y = mask * x * scale (+ y if accumulate); n groups of four elements in total, ceil(sample / 4) per sample.
template <class T>
__global__ void dropout_fours(std::size_t n, const StepState* step, std::uint32_t layer, std::uint32_t threshold,
                              T scale, const T* x, T* y, bool accumulate, unsigned sample, bool wide) {
  const std::size_t i = global_thread();
  if (i >= n) return;
  const unsigned fours = (sample + 3) / 4;
  const std::size_t b = i / fours;
  const unsigned block = static_cast<unsigned>(i - b * fours), e = 4 * block;
  const random::Four r = step->key(random::Use::dropout, layer).words(step->first_sample + b, block);
  const T* const from = x + b * sample + e;
  T* const to = y + b * sample + e;
  if (wide) {
    constexpr int size = Wide<T>::size;
    for (int part = 0; part < 4; part += size) {
      Wide<T> v = load_wide(from + part);
      for (int k = 0; k < size; ++k) v.v[k] = r.v[part + k] < threshold ? T(0) : v.v[k] * scale;
      if (accumulate) {
        const Wide<T> old = load_wide(to + part);
        for (int k = 0; k < size; ++k) v.v[k] += old.v[k];
      }
      store_wide(to + part, v);
    }
  } else {
    for (unsigned k = 0; k < 4; ++k)
      if (e + k < sample) {
        const T v = r.v[k] < threshold ? T(0) : from[k] * scale;
        to[k] = accumulate ? to[k] + v : v;
      }
  }
}

template <class T>
void dropout_samples(Cuda& dev, CudaPointer<const StepState> step, std::uint32_t layer, DropoutRate rate, const T* x,
                     T* y, bool accumulate, int batch, unsigned sample) {
  const std::size_t n = static_cast<std::size_t>(batch) * ((sample + 3) / 4);
  const bool wide = sample % 4 == 0 && is_wide_aligned(x) && is_wide_aligned(y);
  launch(dev, "dropout_fours", dropout_fours<T>, {blocks_for(n, dropout_threads)}, {dropout_threads}, 0, n, step.get(),
         layer, rate.threshold, static_cast<T>(rate.scale), x, y, accumulate, sample, wide);
}

}  // namespace cuda

/// y = x with each element dropped with probability num / den. `layer` distinguishes the masks of one step.
template <class T, int... D>
void dropout_forward(Cuda& dev, CudaPointer<const StepState> step, std::uint32_t layer,
                     std::type_identity_t<In<T, D...>> x, int num, int den, Out<T, D...> y) {
  cuda::dropout_samples(dev, step, layer, DropoutRate(num, den), x.data, y.data, false, y.batch, Out<T, D...>::sample);
}

/// The gradient with the mask of the forward pass. step and layer must be those of the forward pass.
template <class T, int... D>
void dropout_backward(Cuda& dev, CudaPointer<const StepState> step, std::uint32_t layer,
                      std::type_identity_t<In<T, D...>> dy, int num, int den, Into<T, D...> dx) {
  if (dx)
    cuda::dropout_samples(dev, step, layer, DropoutRate(num, den), dy.data, dx.data, dx.accumulate, dx.batch,
                          Out<T, D...>::sample);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
