// Elementwise operations: addition, accumulation, and the functions for writing a custom layer.
//   add_forward   a, b (B, ...) -> y = a + b            accumulate   dy (B, ...) -> dx = dy, or dx += dy
//   multiply_by   x (n) *= factor
//   for_each_element(dev, n, f)     f(i) for i in [0, n)
//   elementwise(dev, y, f)          y[i] = f(i); for an Into view: no operation if null, += if it accumulates
//   sum(dev, n, f)                  the sum of f(i) over [0, n) in double, in an order fixed by n alone
//   sum_into(dev, n, f, to)         the same, into a gradient of one value: no operation if null, += if it accumulates
// Cost  12, 8 and 8 bytes per element, bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr std::size_t elementwise_grain = 16384;  // elements per task: 64 KiB of floats, a few microseconds

/// Splits a reduction over n elements into at most 64 chunks of at least `min`. The split depends on n and `min` only.
struct Chunks {
  static constexpr int max = 64;
  std::size_t n, grain;
  int count;

  constexpr explicit Chunks(std::size_t elements, std::size_t min = 4096)
      : n(elements),
        grain(elements <= min * max ? min : ((elements + max - 1) / max + 63) / 64 * 64),
        count(static_cast<int>((elements + grain - 1) / grain)) {}
  constexpr std::size_t begin(int chunk) const { return static_cast<std::size_t>(chunk) * grain; }
  constexpr std::size_t end(int chunk) const { return begin(chunk) + grain < n ? begin(chunk) + grain : n; }
};

/// Adds `count` values in a binary tree whose shape depends on count alone; the result is in v[0].
template <class T>
inline T tree_sum(T* v, int count) {
  if (count == 0) return T{};
  for (int width = 1; width < count; width *= 2)
    for (int i = 0; i + width < count; i += 2 * width) v[i] = v[i] + v[i + width];
  return v[0];
}

/// Calls f(i) for every i in [0, n) on all threads. f(i) may write only the data of element i.
template <class F>
void for_each_element(Cpu& dev, std::size_t n, const F& f) {
  dev.parallel_chunks(n, elementwise_grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) f(i);
  });
}

/// y[i] = f(i).
template <class T, int... D, class F>
void elementwise(Cpu& dev, Out<T, D...> y, const F& f) {
  for_each_element(dev, y.size(), [&](std::size_t i) { y.data[i] = static_cast<T>(f(i)); });
}

/// dx[i] = f(i), or dx[i] += f(i) if dx accumulates. Does nothing if dx is null.
template <class T, int... D, class F>
void elementwise(Cpu& dev, Into<T, D...> dx, const F& f) {
  if (!dx) return;
  if (dx.accumulate)
    for_each_element(dev, dx.size(), [&](std::size_t i) { dx.data[i] += static_cast<T>(f(i)); });
  else
    for_each_element(dev, dx.size(), [&](std::size_t i) { dx.data[i] = static_cast<T>(f(i)); });
}

/// The sum of f(i) over [0, n): in double, with the same bits for any number of threads.
template <class F>
double sum(Cpu& dev, std::size_t n, const F& f) {
  const Chunks chunks(n);
  double partial[Chunks::max];
  dev.parallel(chunks.count, [&](int chunk, int) {
    double lane[4] = {};  // four independent sums hide the latency of an addition
    std::size_t i = chunks.begin(chunk);
    const std::size_t end = chunks.end(chunk);
    for (; i + 4 <= end; i += 4)
      for (std::size_t k = 0; k < 4; ++k) lane[k] += static_cast<double>(f(i + k));
    for (; i < end; ++i) lane[i % 4] += static_cast<double>(f(i));
    partial[chunk] = (lane[0] + lane[2]) + (lane[1] + lane[3]);
  });
  return tree_sum(partial, chunks.count);
}

/// to[0] = the sum of f(i) over [0, n), or to[0] += it if `to` accumulates. Does nothing if `to` is null.
template <class T, class F>
void sum_into(Cpu& dev, std::size_t n, const F& f, Into<T, 1> to) {
  if (!to) return;
  const double total = sum(dev, n, f);
  to[0] = static_cast<T>(to.accumulate ? to[0] + total : total);
}

namespace portable {

template <class T>
void add_range(const T* a, const T* b, T* y, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) y[i] = a[i] + b[i];
}

template <class T>
void multiply_range(T* x, T factor, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) x[i] *= factor;
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct Add {
  const float *a, *b;
  float* y;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    store(y + i, live, _mm256_add_ps(load(a + i, live), load(b + i, live)));
  }
};

TENON_AVX2 inline void add_range(const float* a, const float* b, float* y, std::size_t begin, std::size_t end) {
  Add step{a, b, y};
  for_each_vector(begin, end, step);
}

struct MultiplyBy {
  float* x;
  __m256 factor;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    store(x + i, live, _mm256_mul_ps(load(x + i, live), factor));
  }
};

TENON_AVX2 inline void multiply_range(float* x, float factor, std::size_t begin, std::size_t end) {
  MultiplyBy step{x, _mm256_set1_ps(factor)};
  for_each_vector(begin, end, step);
}

}  // namespace avx2
#endif

/// y = a + b; y may be a or b.
template <class T, int... D>
void add_forward(Cpu& dev, std::type_identity_t<In<T, D...>> a, std::type_identity_t<In<T, D...>> b, Out<T, D...> y) {
  dev.parallel_chunks(y.size(), elementwise_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::add_range(a.data, b.data, y.data, begin, end);
#endif
    portable::add_range(a.data, b.data, y.data, begin, end);
  });
}

/// x *= factor.
template <class T>
void multiply_by(Cpu& dev, Span<T> x, std::type_identity_t<T> factor) {
  dev.parallel_chunks(x.size, elementwise_grain, [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::multiply_range(x.data, factor, begin, end);
#endif
    portable::multiply_range(x.data, factor, begin, end);
  });
}

/// dx = dy, or dx += dy if dx accumulates. Does nothing if dx is null.
template <class T, int... D>
void accumulate(Cpu& dev, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  if (!dx) return;
  if (dx.accumulate) {
    add_forward(dev, dx, dy, Out<T, D...>(dx));
  } else if (dx.data != dy.data) {
    dev.parallel_chunks(dx.size(), elementwise_grain, [&](std::size_t begin, std::size_t end) {
      __builtin_memcpy(dx.data + begin, dy.data + begin, (end - begin) * sizeof(T));
    });
  }
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
