// Reductions over flat memory.
//   sum_of_squares   x (n) -> double; cannot overflow for floats
//   sum_of_squares_then(dev, x, then)   the same, and the thread of the device that has it calls then(it)
//   all_finite       x (n) -> no infinity, no NaN; by bit patterns, so that no compiler flag can argue it away
//   sum(dev, n, f)   the sum of f(i) over [0, n) in double. f is a small struct whose operator() is TENON_HD
//   sum_into(dev, n, f, to)   the same to a gradient of one value: nothing if null, += if it adds
// All but sum_of_squares_then and sum_into wait for the result. The same n gives the same order of additions, aligned or
// not.
// Strategy  at most 1024 chunks fixed by n, a block each, 16 bytes a thread and access; their results by another block.
// Cost      4 bytes an element, bound by memory; one launch up to 2048 elements, else two.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/view.hpp"
#include "tenon/cuda/collective.cuh"
#include "tenon/cuda/elementwise.cuh"
#include "tenon/cuda/launch.cuh"

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned reduce_threads = 256;

/// How n elements are cut, a block a chunk. A grain is a multiple of what a block takes at a time.
struct ReduceChunks {
  static constexpr std::size_t most = 1024, least = 2048;  // chunks, elements of one
  std::size_t grain;
  unsigned count;  // at least 1, so that no elements have a result, too

  explicit ReduceChunks(std::size_t n)
      : grain(n <= least * most ? least : ((n + most - 1) / most + least - 1) / least * least),
        count(n == 0 ? 1 : blocks_for(n, grain)) {}
  /// Of any reduction of at most n elements: `count` may shrink where n grows.
  static constexpr std::size_t capacity(std::size_t n) {
    return n >= least * most ? most : n == 0 ? 1 : (n + least - 1) / least;
  }
};

struct ReduceOr {
  __device__ __forceinline__ unsigned operator()(unsigned a, unsigned b) const { return a | b; }
};

// What is done to an element; Value{} is where a reduction starts.
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

/// The value that a reduction has left in device memory.
struct ReduceResult {
  const double* value;
  __device__ double operator()(std::size_t) const { return *value; }
};

/// What is done with a result, by one thread: *to = it.
template <class Value>
struct ReduceStore {
  Value* to;
  __device__ void operator()(Value result) const { *to = result; }
};

// of_chunk[block] = its chunk; of one chunk, then(it). `wide`: 16-byte accesses are allowed.
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

// One block: the chunks' results into one.
template <class Value, class Combine, class Then>
__global__ void reduce_results(const Value* of_chunk, unsigned count, Then then) {
  auto& reduce = shared_memory<BlockReduce<Value, reduce_threads>>();
  const Combine combine{};
  Value v{};
  for (unsigned c = threadIdx.x; c < count; c += reduce_threads) v = combine(v, of_chunk[c]);
  const Value all = reduce(v, combine);
  if (threadIdx.x == 0) then(all);
}

/// then(the result), on the device.
template <class Elements, class Then>
void reduce_then(const Cuda& dev, const char* name, Elements elements, std::size_t n, bool wide, Then then) {
  using Value = typename Elements::Value;
  constexpr std::size_t shared = sizeof(BlockReduce<Value, reduce_threads>);
  const ReduceChunks chunks(n);
  Scratch scratch(dev);
  Value* const of_chunk = scratch.take<Value>(ReduceChunks::capacity(n));
  launch(dev, name, reduce_chunks<Elements, Then>, {chunks.count}, {reduce_threads}, shared, elements, n, chunks.grain,
         wide, of_chunk, then);
  if (chunks.count > 1)
    launch(dev, name, reduce_results<Value, typename Elements::Combine, Then>, {1}, {reduce_threads}, shared, of_chunk,
           chunks.count, then);
}

/// The result, on the host; Value{} while the model measures.
template <class Elements>
typename Elements::Value reduce(const Cuda& dev, const char* name, Elements elements, std::size_t n, bool wide) {
  using Value = typename Elements::Value;
  Scratch scratch(dev);
  Value* const result = scratch.take<Value>(1);
  reduce_then(dev, name, elements, n, wide, ReduceStore<Value>{result});
  Value v{};
  download(dev, result, &v, 1);
  return v;
}

}  // namespace cuda

/// then(the sum of x[i]^2) by a thread of the device, which nothing waits for. `then` is a small struct whose operator() is
/// __device__.
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

/// Whether every element is a number and not infinite.
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

/// to[0] = the sum of f(i) over [0, n), or to[0] += it if `to` adds, or nothing if nobody asks for it. Nothing waits.
template <class T, class F>
void sum_into(Cuda& dev, std::size_t n, const F& f, Into<T, 1> to) {
  if (!to) return;
  cuda::Scratch scratch(dev);
  double* const total = scratch.take<double>(1);
  cuda::reduce_then(dev, "sum", cuda::ReduceFunction<F>{f}, n, true, cuda::ReduceStore<double>{total});
  elementwise(dev, to, cuda::ReduceResult{total});
}

}  // namespace tenon::kernels
