// Stochastic gradient descent over a range of flat memory, as cpu/sgd.hpp, with the same bits as its vector code.
//   w, g, velocity (n)   ->   w, velocity (n)       velocity may be empty if momentum is 0
//   g = scale g + decay w     u = momentum u + g     w -= lr u, or lr (g + momentum u) with Nesterov
// The kernel reads lr and scale from the StepState. If it is stopped, nothing is written.
// Strategy  a thread owns 16 bytes of each array. It takes one value at a time if a pointer is not aligned, and at the
//           end.
// Cost      12 bytes per parameter, 20 with momentum: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/common/sgd.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned sgd_threads = 256;

template <class T>
__device__ __forceinline__ void sgd_one(const SgdFactors<T>& f, bool momentum, T& w, T g, T& u) {
  T d = fma_of(f.grad_scale, g, f.l2 * w);
  if (momentum) {
    u = math::flush_denormal(fma_of(f.momentum, u, d));
    d = f.nesterov ? fma_of(f.momentum, u, d) : u;
  }
  w = fma_of(-f.learning_rate, d, w);
}

template <class T>
__global__ void sgd_pieces(std::size_t n, bool wide, SgdFactors<T> f, const StepState* step, T* w, const T* g, T* u) {
  constexpr int size = Wide<T>::size;
  const std::size_t i = global_thread() * size;
  if (i >= n) return;
  if (step->stopped != 0) return;
  f.set_step(*step);
  if (wide && n - i >= size) {
    Wide<T> a = load_wide(w + i), c{};
    const Wide<T> b = load_wide(g + i);
    if (u) c = load_wide(u + i);
    for (int k = 0; k < size; ++k) sgd_one(f, u != nullptr, a.v[k], b.v[k], c.v[k]);
    if (u) store_wide(u + i, c);
    store_wide(w + i, a);
  } else {
    for (std::size_t k = i; k < n && k < i + size; ++k) {
      T a = w[k], c = u ? u[k] : T(0);
      sgd_one(f, u != nullptr, a, g[k], c);
      if (u) u[k] = c;
      w[k] = a;
    }
  }
}

}  // namespace cuda

/// Updates a range of parameters that share the options. w, g and, with momentum, velocity have the same size.
template <class T>
void sgd_update(Cuda& dev, const SgdOptions& options, CudaPointer<const StepState> step, Span<T> w,
                std::type_identity_t<Span<const T>> g, Span<T> velocity) {
  T* const u = options.momentum != 0 ? velocity.data : nullptr;
  const bool wide = cuda::is_wide_aligned(w.data) && cuda::is_wide_aligned(g.data) && cuda::is_wide_aligned(u);
  constexpr std::size_t per_block = std::size_t{cuda::Wide<T>::size} * cuda::sgd_threads;
  cuda::launch(dev, "sgd", cuda::sgd_pieces<T>, {cuda::blocks_for(w.size, per_block)}, {cuda::sgd_threads}, 0, w.size,
               wide, SgdFactors<T>(options), step.get(), w.data, g.data, u);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
