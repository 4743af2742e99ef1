// Reductions over flat memory.
//   sum_of_squares   x (n) -> double; cannot overflow for floats
//   sum_of_squares_then(dev, x, then)   the same; then one thread of the device calls then(the sum)
//   all_finite       x (n) -> no infinity, no NaN; tests bit patterns, so that no compiler flag can remove the test
//   sum(dev, n, f)   the sum of f(i) over [0, n) in double. f is a small struct whose operator() is TENON_HD
//   sum_into(dev, n, f, to)   the same, into a gradient of one value: nothing if null, += if it accumulates
// All except sum_of_squares_then and sum_into wait for the result. The order of additions depends only on n, not on the
// alignment.
// Strategy  at most 1024 chunks, fixed by n, one block per chunk, 16-byte accesses. Another block combines their results.
// Cost      4 bytes per element, bound by memory. One launch up to 2048 elements, else two.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/view.hpp"
#include "tenon/cuda/collective.cuh"
#include "tenon/cuda/elementwise.cuh"
#include "tenon/cuda/launch.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned reduce_threads = 256;

/// How n elements are split, one block per chunk. grain is a multiple of what a block takes at a time.
struct ReduceChunks {
  static constexpr std::size_t max = 1024, min = 2048;  // maximum chunks, minimum elements of a chunk
  std::size_t grain;
  unsigned count;  // at least 1, so that n = 0 also gives a result

  explicit ReduceChunks(std::size_t n)
      : grain(n <= min * max ? min : ((n + max - 1) / max + min - 1) / min * min),
        count(n == 0 ? 1 : blocks_for(n, grain)) {}
  /// The maximum `count` of all reductions of at most n elements. `count` may shrink as n grows.
  static constexpr std::size_t capacity(std::size_t n) {
    return n >= min * max ? max : n == 0 ? 1 : (n + min - 1) / min;
  }
};

struct ReduceOr {
  __device__ __forceinline__ unsigned operator()(unsigned a, unsigned b) const { return a | b; }
};

// The operation on an element. A reduction starts from Value{}.
struct ReduceSquares {
  using Value = double;
  using Combine = Plus;
  template <class T>
  static __device__ void take(double& s, T x) {
    const double d = static_cast<double>(x);
    s += d * d;
  }
};
struct ReduceNotFinite {
  using Value = unsigned;
  using Combine = ReduceOr;
  static __device__ void take(unsigned& found, float x) { found |= (__float_as_uint(x) & 0x7f800000u) == 0x7f800000u; }
  static __device__ void take(unsigned& found, double x) {
    constexpr long long exponent = 0x7ff0000000000000;
    found |= (__double_as_longlong(x) & exponent) == exponent;
  }
};

/// The elements x[i].
template <class T, class Take>
struct ReduceMemory : Take {
  static constexpr int size = Wide<T>::size;  // elements a thread takes at a time
  const T* x;

  explicit ReduceMemory(const T* p) : x(p) {}
  __device__ void wide(std::size_t i, typename Take::Value (&v)[size]) const {
    const Wide<T> w = load_wide(x + i);
    for (int k = 0; k < size; ++k) Take::take(v[k], w.v[k]);
  }
  __device__ void one(std::size_t i, typename Take::Value& v) const { Take::take(v, x[i]); }
};

/// The elements f(i), to be added.
template <class F>
struct ReduceFunction {
  using Value = double;
  using Combine = Plus;
  static constexpr int size = 1;
  F f;

  __device__ void wide(std::size_t i, double (&v)[1]) const { one(i, v[0]); }
  __device__ void one(std::size_t i, double& v) const { v += static_cast<double>(f(i)); }
};

/// Reads the result of a reduction from device memory.
struct ReduceResult {
  const double* value;
  __device__ double operator()(std::size_t) const { return *value; }
};

/// Stores a result: *to = result. One thread calls it.
template <class Value>
struct ReduceStore {
  Value* to;
  __device__ void operator()(Value result) const { *to = result; }
};

// of_chunk[block] = the result of its chunk. If there is one chunk, then(result). `wide`: 16-byte accesses are allowed.
template <class Elements, class Then>
__global__ void reduce_chunks(Elements elements, std::size_t n, std::size_t grain, bool wide,
                              typename Elements::Value* of_chunk, Then then) {
  using Value = typename Elements::Value;
  constexpr int size = Elements::size;
  auto& reduce = shared_memory<BlockReduce<Value, reduce_threads>>();
  const typename Elements::Combine combine{};
  const std::size_t begin = blockIdx.x * grain, end = n - begin < grain ? n : begin + grain;
  Value v[size] = {};
  for (std::size_t i = begin + threadIdx.x * size; i < end; i += reduce_threads * size)
    if (wide && end - i >= size) {
      elements.wide(i, v);
    } else {
      for (int k = 0; k < size; ++k)
        if (i + k < end) elements.one(i + k, v[k]);
    }
  for (int k = 1; k < size; ++k) v[0] = combine(v[0], v[k]);
  const Value all = reduce(v[0], combine);
  if (threadIdx.x > 0) return;
  if (gridDim.x == 1)
    then(all);
  else
    of_chunk[blockIdx.x] = all;
}

// One block combines the results of the chunks.
template <class Value, class Combine, class Then>
__global__ void reduce_results(const Value* of_chunk, unsigned count, Then then) {
  auto& reduce = shared_memory<BlockReduce<Value, reduce_threads>>();
  const Combine combine{};
  Value v{};
  for (unsigned c = threadIdx.x; c < count; c += reduce_threads) v = combine(v, of_chunk[c]);
  const Value all = reduce(v, combine);
  if (threadIdx.x == 0) then(all);
}

/// Calls then(the result) on the device.
template <class Elements, class Then>
void reduce_then(const Cuda& dev, const char* name, Elements elements, std::size_t n, bool wide, Then then) {
  using Value = typename Elements::Value;
  constexpr std::size_t shared = sizeof(BlockReduce<Value, reduce_threads>);
  const ReduceChunks chunks(n);
  ScratchAllocator scratch(dev);
  Value* const of_chunk = scratch.take<Value>(ReduceChunks::capacity(n));
  launch(dev, name, reduce_chunks<Elements, Then>, {chunks.count}, {reduce_threads}, shared, elements, n, chunks.grain,
         wide, of_chunk, then);
  if (chunks.count > 1)
    launch(dev, name, reduce_results<Value, typename Elements::Combine, Then>, {1}, {reduce_threads}, shared, of_chunk,
           chunks.count, then);
}

/// Returns the result on the host, or Value{} while scratch is measured.
template <class Elements>
typename Elements::Value reduce(const Cuda& dev, const char* name, Elements elements, std::size_t n, bool wide) {
  using Value = typename Elements::Value;
  ScratchAllocator scratch(dev);
  Value* const result = scratch.take<Value>(1);
  reduce_then(dev, name, elements, n, wide, ReduceStore<Value>{result});
  Value v{};
  download(dev, result, &v, 1);
  return v;
}

}  // namespace cuda

/// One thread of the device calls then(the sum of x[i]^2). The host does not wait. `then` is a small struct whose
/// operator() is __device__.
template <class T, class Then>
void sum_of_squares_then(Cuda& dev, Span<const T> x, const Then& then) {
  cuda::reduce_then(dev, "sum_of_squares", cuda::ReduceMemory<T, cuda::ReduceSquares>(x.data), x.size,
                    cuda::is_wide_aligned(x.data), then);
}

/// The sum of x[i]^2.
template <class T>
double sum_of_squares(Cuda& dev, Span<const T> x) {
  return cuda::reduce(dev, "sum_of_squares", cuda::ReduceMemory<T, cuda::ReduceSquares>(x.data), x.size,
                      cuda::is_wide_aligned(x.data));
}

/// Whether no element is infinite or NaN.
template <class T>
bool all_finite(Cuda& dev, Span<const T> x) {
  return cuda::reduce(dev, "all_finite", cuda::ReduceMemory<T, cuda::ReduceNotFinite>(x.data), x.size,
                      cuda::is_wide_aligned(x.data)) == 0;
}

/// The sum of f(i) over [0, n), in double.
template <class F>
double sum(Cuda& dev, std::size_t n, const F& f) {
  return cuda::reduce(dev, "sum", cuda::ReduceFunction<F>{f}, n, true);
}

/// to[0] = the sum of f(i) over [0, n), or to[0] += it if to.accumulate. Does nothing if `to` is null. The host does not
/// wait.
template <class T, class F>
void sum_into(Cuda& dev, std::size_t n, const F& f, Into<T, 1> to) {
  if (!to) return;
  cuda::ScratchAllocator scratch(dev);
  double* const total = scratch.take<double>(1);
  cuda::reduce_then(dev, "sum", cuda::ReduceFunction<F>{f}, n, true, cuda::ReduceStore<double>{total});
  elementwise(dev, to, cuda::ReduceResult{total});
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
