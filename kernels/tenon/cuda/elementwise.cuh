// Work on one element at a time.
//   add_forward   a, b (B, ...) -> y = a + b            accumulate   dy (B, ...) -> dx = dy, or dx += dy
//   elementwise(dev, y, f)   y[i] = f(i); for an Into view: nothing if null, += if it adds. f is a small struct whose
//                            operator() is TENON_HD: a lambda would need a flag of nvcc's
// Strategy  16 bytes a thread and access where every pointer allows it, one value otherwise.
// Cost      12 and 8 bytes an element, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned elementwise_threads = 256;

template <class F>
__global__ void each_element(std::size_t n, F f) {
  const std::size_t i = global_thread();
  if (i < n) f(i);
}

// Size values a thread from i on; the last piece may be shorter.
template <int Size, class F>
__global__ void each_piece(std::size_t n, F f) {
  const std::size_t i = global_thread() * Size;
  if (i >= n) return;
  if (n - i >= Size)
    f.wide(i);
  else
    for (std::size_t k = i; k < n; ++k) f.one(k);
}

/// f(i) for i in [0, n): a thread an element.
template <class F>
void for_each_element(const Cuda& dev, const char* name, std::size_t n, F f) {
  launch(dev, name, each_element<F>, {blocks_for(n, elementwise_threads)}, {elementwise_threads}, 0, n, f);
}

template <class F>
struct OneByOne {
  F f;
  __device__ void operator()(std::size_t i) const { f.one(i); }
};

/// For pieces of 16 bytes of T f.wide(i), which takes the Wide<T>::size values from i on; for the rest, and where one of
/// the pointers is not aligned, f.one(i). Null pointers are aligned.
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
  bool add;
  __device__ void wide(std::size_t i) const {
    Wide<T> w = load_wide(dy + i);
    if (add) {
      const Wide<T> old = load_wide(dx + i);
      for (int k = 0; k < Wide<T>::size; ++k) w.v[k] += old.v[k];
    }
    store_wide(dx + i, w);
  }
  __device__ void one(std::size_t i) const { dx[i] = add ? dx[i] + dy[i] : dy[i]; }
};

template <class T, class F>
struct Assign {
  T* y;
  bool add;
  F f;
  __device__ void operator()(std::size_t i) const { y[i] = static_cast<T>(add ? y[i] + f(i) : f(i)); }
};

}  // namespace cuda

/// y[i] = f(i).
template <class T, int... D, class F>
void elementwise(Cuda& dev, Out<T, D...> y, const F& f) {
  cuda::for_each_element(dev, "elementwise", y.size(), cuda::Assign<T, F>{y.data, false, f});
}

/// dx[i] = f(i), or dx[i] += f(i) if dx adds, or nothing if nobody asks for dx.
template <class T, int... D, class F>
void elementwise(Cuda& dev, Into<T, D...> dx, const F& f) {
  if (dx) cuda::for_each_element(dev, "elementwise", dx.size(), cuda::Assign<T, F>{dx.data, dx.add, f});
}

/// y = a + b; y may be a or b.
template <class T, int... D>
void add_forward(Cuda& dev, std::type_identity_t<In<T, D...>> a, std::type_identity_t<In<T, D...>> b, Out<T, D...> y) {
  cuda::for_each_wide<T>(dev, "add_forward", y.size(), cuda::AddTwo<T>{a.data, b.data, y.data}, a.data, b.data, y.data);
}

/// dx = dy, or dx += dy if dx adds, or nothing if nobody asks for dx.
template <class T, int... D>
void accumulate(Cuda& dev, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  if (dx)
    cuda::for_each_wide<T>(dev, "accumulate", dx.size(), cuda::Accumulate<T>{dy.data, dx.data, dx.add}, dy.data,
                           dx.data);
}

}  // namespace tenon::kernels
