// Adam and AdamW over a range of flat memory, as cpu/adam.hpp, whose vectors round the same: equal bits of float.
//   w, g, m, v (n)   ->   w, m, v (n)
//   g = scale g (+ decay w)     m += (1 - b1) (g - m)     v = b2 v + (1 - b2) g^2
//   w -= lr / c1 m / (sqrt(v) / sqrt(c2) + eps), c = 1 - b^step; AdamW first takes w *= 1 - lr decay
// In a recorded step lr, scale and step are the cursor's, the corrections are computed by a thread of each block while the
// others wait for memory, and nothing is written once the cursor has stopped.
// Strategy  16 bytes a thread and stream; one value at a time where a pointer is not aligned, and at the end.
// Cost      28 bytes a parameter, a division and a square root: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/core/arguments.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/adam.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned adam_threads = 256;

/// What changes from step to step.
template <class T>
struct AdamStepShared {
  T grad_scale, keep, step_size, root_scale;
  int stopped;
};

/// By squaring: the bits depend on the arguments alone, and are off by a few 1e-14 of 1 at most when taken from 1.
__device__ __forceinline__ double power(double base, std::uint64_t exponent) {
  double r = 1;
  for (; exponent > 0; exponent /= 2, base = __dmul_rn(base, base))
    if (exponent % 2) r = __dmul_rn(r, base);
  return r;
}

template <class T>
__device__ __forceinline__ void adam_of_cursor(const AdamStep& s, const CudaCursor& cursor, AdamStepShared<T>& r) {
  const double lr = cursor.learning_rate;
  const std::uint64_t t = std::uint64_t{cursor.step} + 1;
  r.grad_scale = static_cast<T>(cursor.grad_scale);
  r.keep = static_cast<T>(s.decoupled ? mul_add(-lr, s.weight_decay, 1.0) : 1.0);
  r.step_size = static_cast<T>(lr / (1 - power(s.beta1, t)));
  r.root_scale = static_cast<T>(1 / root_of(1 - power(s.beta2, t)));
  r.stopped = cursor.stopped;
}

template <class T>
__device__ __forceinline__ void adam_one(const AdamFactors<T>& f, T& w, T g, T& m, T& v) {
  const T grad = fma_of(f.grad_scale, g, f.l2 * w);
  m = fma_of(f.gain1, grad - m, m);
  v = fma_of(f.gain2 * grad, grad, f.beta2 * v);
  w = fma_of(f.keep, w, -quotient(f.step_size * m, fma_of(root_of(v), f.root_scale, f.epsilon)));
}

template <class T>
__global__ void adam_pieces(std::size_t n, bool wide, AdamFactors<T> f, AdamStep s, const CudaCursor* cursor, T* w,
                            const T* g, T* m, T* v) {
  constexpr int size = Wide<T>::size;
  const std::size_t i = global_thread() * size;
  const bool whole = wide && i < n && n - i >= size;
  Wide<T> a{}, b{}, c{}, d{};
  if (whole) {
    a = load_wide(w + i);
    b = load_wide(g + i);
    c = load_wide(m + i);
    d = load_wide(v + i);
  }
  if (cursor) {
    AdamStepShared<T>& step = shared_memory<AdamStepShared<T>>();
    if (threadIdx.x == 0) adam_of_cursor(s, *cursor, step);
    __syncthreads();
    if (step.stopped) return;
    f.grad_scale = step.grad_scale;
    f.keep = step.keep;
    f.step_size = step.step_size;
    f.root_scale = step.root_scale;
  }
  if (whole) {
    for (int k = 0; k < size; ++k) adam_one(f, a.v[k], b.v[k], c.v[k], d.v[k]);
    store_wide(m + i, c);
    store_wide(v + i, d);
    store_wide(w + i, a);
  } else {
    for (std::size_t k = i; k < n && k < i + size; ++k) {
      T x = w[k], y = m[k], z = v[k];
      adam_one(f, x, g[k], y, z);
      m[k] = y;
      v[k] = z;
      w[k] = x;
    }
  }
}

}  // namespace cuda

/// One step over a range of parameters that share `s`, weight decay included.
template <class T>
void adam_update(Cuda& dev, const AdamStep& s, Span<T> w, std::type_identity_t<Span<const T>> g, Span<T> m, Span<T> v) {
  const bool wide = cuda::is_wide_aligned(w.data) && cuda::is_wide_aligned(g.data) && cuda::is_wide_aligned(m.data) &&
                    cuda::is_wide_aligned(v.data);
  constexpr std::size_t of_block = std::size_t{cuda::Wide<T>::size} * cuda::adam_threads;
  cuda::launch(dev, "adam", cuda::adam_pieces<T>, {cuda::blocks_for(w.size, of_block)}, {cuda::adam_threads},
               sizeof(cuda::AdamStepShared<T>), w.size, wide, AdamFactors<T>(s), s, dev.state().cursor, w.data, g.data,
               m.data, v.data);
}

}  // namespace tenon::kernels
