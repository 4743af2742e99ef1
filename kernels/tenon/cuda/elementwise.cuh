// Elementwise operations.
//   add_forward   a, b (B, ...) -> y = a + b            accumulate   dy (B, ...) -> dx = dy, or dx += dy
//   multiply_by   x (n) *= factor
//   elementwise(dev, y, f)   y[i] = f(i). For an Into view: nothing if null, += if it accumulates. f is a small struct
//                            whose operator() is TENON_HD: a lambda would need an nvcc flag
// Strategy  a thread loads and stores 16 bytes at a time if every pointer is aligned, else one value.
// Cost      12, 8 and 8 bytes per element, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned elementwise_threads = 256;

template <class F>
__global__ void each_element(std::size_t n, F f) {
  const std::size_t i = global_thread();
  if (i < n) f(i);
}

// A thread owns Size values from i on. The last piece may be shorter.
template <int Size, class F>
__global__ void each_piece(std::size_t n, F f) {
  const std::size_t i = global_thread() * Size;
  if (i >= n) return;
  if (n - i >= Size)
    f.wide(i);
  else
    for (std::size_t k = i; k < n; ++k) f.one(k);
}

/// Calls f(i) for i in [0, n), one thread per element.
template <class F>
void for_each_element(const Cuda& dev, const char* name, std::size_t n, F f) {
  launch(dev, name, each_element<F>, {blocks_for(n, elementwise_threads)}, {elementwise_threads}, 0, n, f);
}

template <class F>
struct OneByOne {
  F f;
  __device__ void operator()(std::size_t i) const { f.one(i); }
};

/// Calls f.wide(i) for each piece of 16 bytes of T: the Wide<T>::size values from i on. Calls f.one(i) for the rest, and
/// for all values if one of the pointers is not aligned. Null pointers are aligned.
template <class T, class F, class... Pointer>
void for_each_wide(const Cuda& dev, const char* name, std::size_t n, F f, const Pointer*... pointers) {
  constexpr int size = Wide<T>::size;
  if ((is_wide_aligned(pointers) && ...))
    launch(dev, name, each_piece<size, F>, {blocks_for(n, std::size_t{size} * elementwise_threads)},
           {elementwise_threads}, 0, n, f);
  else
    for_each_element(dev, name, n, OneByOne<F>{f});
}

template <class T>
struct AddTwo {
  const T *a, *b;
  T* y;
  __device__ void wide(std::size_t i) const {
    const Wide<T> u = load_wide(a + i), v = load_wide(b + i);
    Wide<T> w;
    for (int k = 0; k < Wide<T>::size; ++k) w.v[k] = u.v[k] + v.v[k];
    store_wide(y + i, w);
  }
  __device__ void one(std::size_t i) const { y[i] = a[i] + b[i]; }
};

template <class T>
struct Accumulate {
  const T* dy;
  T* dx;
  bool accumulate;
  __device__ void wide(std::size_t i) const {
    Wide<T> w = load_wide(dy + i);
    if (accumulate) {
      const Wide<T> old = load_wide(dx + i);
      for (int k = 0; k < Wide<T>::size; ++k) w.v[k] += old.v[k];
    }
    store_wide(dx + i, w);
  }
  __device__ void one(std::size_t i) const { dx[i] = accumulate ? dx[i] + dy[i] : dy[i]; }
};

template <class T>
struct MultiplyBy {
  T* x;
  T factor;
  __device__ void wide(std::size_t i) const {
    Wide<T> w = load_wide(x + i);
    for (int k = 0; k < Wide<T>::size; ++k) w.v[k] *= factor;
    store_wide(x + i, w);
  }
  __device__ void one(std::size_t i) const { x[i] *= factor; }
};

template <class T, class F>
struct Assign {
  T* y;
  bool accumulate;
  F f;
  __device__ void operator()(std::size_t i) const { y[i] = static_cast<T>(accumulate ? y[i] + f(i) : f(i)); }
};

}  // namespace cuda

/// y[i] = f(i).
template <class T, int... D, class F>
void elementwise(Cuda& dev, Out<T, D...> y, const F& f) {
  cuda::for_each_element(dev, "elementwise", y.size(), cuda::Assign<T, F>{y.data, false, f});
}

/// dx[i] = f(i), or dx[i] += f(i) if dx.accumulate. Does nothing if dx is null.
template <class T, int... D, class F>
void elementwise(Cuda& dev, Into<T, D...> dx, const F& f) {
  if (dx) cuda::for_each_element(dev, "elementwise", dx.size(), cuda::Assign<T, F>{dx.data, dx.accumulate, f});
}

/// y = a + b; y may be a or b.
template <class T, int... D>
void add_forward(Cuda& dev, std::type_identity_t<In<T, D...>> a, std::type_identity_t<In<T, D...>> b, Out<T, D...> y) {
  cuda::for_each_wide<T>(dev, "add_forward", y.size(), cuda::AddTwo<T>{a.data, b.data, y.data}, a.data, b.data, y.data);
}

/// x *= factor.
template <class T>
void multiply_by(Cuda& dev, Span<T> x, std::type_identity_t<T> factor) {
  cuda::for_each_wide<T>(dev, "multiply_by", x.size, cuda::MultiplyBy<T>{x.data, factor}, x.data);
}

/// dx = dy, or dx += dy if dx.accumulate. Does nothing if dx is null.
template <class T, int... D>
void accumulate(Cuda& dev, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  if (dx)
    cuda::for_each_wide<T>(dev, "accumulate", dx.size(), cuda::Accumulate<T>{dy.data, dx.data, dx.accumulate}, dy.data,
                           dx.data);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
