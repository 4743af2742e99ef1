// Adam and AdamW over a range of flat memory, as cpu/adam.hpp.
//   w, g, m, v (n)   ->   w, m, v (n)
//   g = scale g (+ decay w)     m += (1 - b1) (g - m)     v = b2 v + (1 - b2) g^2
//   w -= lr / c1 (m / (sqrt(v) / sqrt(c2) + eps)), c = 1 - b^t; AdamW first computes w *= 1 - lr decay
// The kernel reads lr, scale and t = step + 1 from the StepState. If it is stopped, nothing is written.
// Strategy  a thread owns 16 bytes of each array. It takes one value at a time if a pointer is not aligned, and at the
//           end. Thread 0 of each block computes the corrections while the other threads wait for memory.
// Numbers   rounds like the CPU's vector code, except in the corrections: b^t is computed by squaring. The relative error
//           of b^t is at most t 2^-53. That of a correction c is at most about 2^-53 / (1 - b), 1.1e-13 for b = 0.999:
//           the same error as that of a b^t that is rounded once, at t = 1. A float differs only at a rounding boundary.
// Cost      28 bytes, a division and a square root per parameter: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/common/adam.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned adam_threads = 256;

/// The constants of the running step.
template <class T>
struct AdamStepShared {
  T grad_scale, keep, step_size, root_scale;
  unsigned stopped;
};

/// base^exponent for a base in [0, 1), by squaring. The bits depend only on the arguments.
__device__ __forceinline__ double power(double base, std::uint64_t exponent) {
  double r = 1;
  for (; exponent > 0; exponent /= 2, base = __dmul_rn(base, base))
    if (exponent % 2) r = __dmul_rn(r, base);
  return r;
}

/// The same formulas as AdamFactors on the host, except for power().
template <class T>
__device__ __forceinline__ void adam_constants_of_step(const AdamOptions& o, const StepState& step,
                                                       AdamStepShared<T>& r) {
  const double lr = step.learning_rate;
  const std::uint64_t t = adam_time(step);
  r.grad_scale = static_cast<T>(step.gradient_scale);
  r.keep = static_cast<T>(o.decoupled ? mul_add(-lr, o.weight_decay, 1.0) : 1.0);
  r.step_size = static_cast<T>(lr / (1 - power(o.beta1, t)));
  r.root_scale = static_cast<T>(1 / root_of(1 - power(o.beta2, t)));
  r.stopped = step.stopped;
}

template <class T>
__device__ __forceinline__ void adam_one(const AdamFactors<T>& f, T& w, T g, T& m, T& v) {
  const T grad = fma_of(f.grad_scale, g, f.l2 * w);
  m = math::flush_denormal(fma_of(f.gain1, grad - m, m));
  v = math::flush_denormal(fma_of(f.gain2 * grad, grad, f.beta2 * v));
  w = fma_of(-f.step_size, quotient(m, fma_of(root_of(v), f.root_scale, f.epsilon)), f.keep * w);
}

template <class T>
__global__ void adam_pieces(std::size_t n, bool wide, AdamFactors<T> f, AdamOptions o, const StepState* step, T* w,
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
  AdamStepShared<T>& now = shared_memory<AdamStepShared<T>>();
  if (threadIdx.x == 0) adam_constants_of_step(o, *step, now);
  __syncthreads();
  if (now.stopped != 0) return;
  f.grad_scale = now.grad_scale;
  f.keep = now.keep;
  f.step_size = now.step_size;
  f.root_scale = now.root_scale;
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

/// Updates a range of parameters that share the options. w, g, m and v have the same size.
template <class T>
void adam_update(Cuda& dev, const AdamOptions& options, CudaPointer<const StepState> step, Span<T> w,
                 std::type_identity_t<Span<const T>> g, Span<T> m, Span<T> v) {
  const bool wide = cuda::is_wide_aligned(w.data) && cuda::is_wide_aligned(g.data) && cuda::is_wide_aligned(m.data) &&
                    cuda::is_wide_aligned(v.data);
  constexpr std::size_t per_block = std::size_t{cuda::Wide<T>::size} * cuda::adam_threads;
  cuda::launch(dev, "adam", cuda::adam_pieces<T>, {cuda::blocks_for(w.size, per_block)}, {cuda::adam_threads},
               sizeof(cuda::AdamStepShared<T>), w.size, wide, AdamFactors<T>(options), options, step.get(), w.data,
               g.data, m.data, v.data);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
