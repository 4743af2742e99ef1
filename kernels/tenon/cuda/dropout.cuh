// Dropout: each element is dropped with probability num / den, the others are scaled by den / (den - num).
//   forward  x (B, ...) -> y       backward  dy (B, ...) -> dx       y may be x, dx may be dy
// The mask is a function of (key, position of the sample in the epoch, element), so the backward draws it again instead
// of keeping it, and it is the CPU's to the bit. In a recorded step its step and the position of the first sample are the
// cursor's.
// Strategy  a thread four elements, which one call of Philox serves; 16 bytes an access where rows and pointers allow it.
// Cost      8 bytes an element, and 10 rounds of Philox for four, some 25 operations an element: about what memory takes.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/core/random.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/dropout.hpp"
#include "tenon/cuda/launch.cuh"

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned dropout_threads = 256;

// y = mask * x * scale (+ y if add); n fours in all, ceil(sample / 4) of each sample.
template <class T>
__global__ void dropout_fours(std::size_t n, random::Key key, std::uint64_t first, const CudaCursor* cursor,
                              std::uint32_t threshold, T scale, const T* x, T* y, bool add, unsigned sample,
                              bool wide) {
  const std::size_t i = global_thread();
  if (i >= n) return;
  if (cursor) {
    key.step = cursor->step;
    first = cursor->first_sample;
  }
  const unsigned fours = (sample + 3) / 4;
  const std::size_t b = i / fours;
  const unsigned block = static_cast<unsigned>(i - b * fours), e = 4 * block;
  const random::Four r = key.words(first + b, block);
  const T* const from = x + b * sample + e;
  T* const to = y + b * sample + e;
  if (wide) {
    constexpr int size = Wide<T>::size;
    for (int part = 0; part < 4; part += size) {
      Wide<T> v = load_wide(from + part);
      for (int k = 0; k < size; ++k) v.v[k] = r.v[part + k] < threshold ? T(0) : v.v[k] * scale;
      if (add) {
        const Wide<T> old = load_wide(to + part);
        for (int k = 0; k < size; ++k) v.v[k] += old.v[k];
      }
      store_wide(to + part, v);
    }
  } else {
    for (unsigned k = 0; k < 4; ++k)
      if (e + k < sample) {
        const T v = r.v[k] < threshold ? T(0) : from[k] * scale;
        to[k] = add ? to[k] + v : v;
      }
  }
}

template <class T>
void dropout_samples(Cuda& dev, const random::Key& key, std::uint64_t first, DropoutRate rate, const T* x, T* y,
                     bool add, int batch, unsigned sample) {
  const std::size_t n = static_cast<std::size_t>(batch) * ((sample + 3) / 4);
  const bool wide = sample % 4 == 0 && is_wide_aligned(x) && is_wide_aligned(y);
  launch(dev, "dropout_fours", dropout_fours<T>, {blocks_for(n, dropout_threads)}, {dropout_threads}, 0, n, key, first,
         dev.state().cursor, rate.threshold, static_cast<T>(rate.scale), x, y, add, sample, wide);
}

}  // namespace cuda

/// `first` is the position in the epoch of the batch's first sample; `key` holds seed, layer and step.
template <class T, int... D>
void dropout_forward(Cuda& dev, const random::Key& key, std::uint64_t first, std::type_identity_t<In<T, D...>> x,
                     int num, int den, Out<T, D...> y) {
  cuda::dropout_samples(dev, key, first, DropoutRate(num, den), x.data, y.data, false, y.batch, Out<T, D...>::sample);
}

template <class T, int... D>
void dropout_backward(Cuda& dev, const random::Key& key, std::uint64_t first, std::type_identity_t<In<T, D...>> dy,
                      int num, int den, Into<T, D...> dx) {
  if (dx)
    cuda::dropout_samples(dev, key, first, DropoutRate(num, den), dy.data, dx.data, dx.add, dx.batch,
                          Out<T, D...>::sample);
}

}  // namespace tenon::kernels
