// Sums of two tensors and the functions of a user's layer, at the shapes of a small residual network at batch 128, one
// thread, compared with the bandwidth of a triad over what they read and write. accumulate_add writes where it has
// read, which avoids the reads that a triad's writes cause, so its share may exceed 1.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/elementwise.hpp"

#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"

using namespace tenon;

namespace {

constexpr int batch = 128;

template <int S, int C>
struct Case {
  static constexpr int n = batch * S * C;
  using X = In<float, Batch, S, C>;
  using Y = Out<float, Batch, S, C>;
  Cpu dev;
  Buffer<float> a{n}, b{n}, y{n};

  Case() {
    for (int i = 0; i < n; ++i) a[i] = b[i] = static_cast<float>(i % 61) * 0.1f - 3;
  }
};

/// Times `call(k)` and compares it with the bandwidth for `bytes` bytes per element.
template <int S, int C, class F>
void against(benchmark::State& state, std::size_t bytes, const F& call) {
  Case<S, C> k;
  const double bandwidth = bench::memory_bandwidth(bytes * k.n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    call(k);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * k.n);
  share.report(state, static_cast<double>(bytes * k.n) / bandwidth);
}

template <int S, int C>
void add(benchmark::State& state) {
  using K = Case<S, C>;
  against<S, C>(state, 12, [](K& k) {
    add_forward(k.dev, typename K::X(k.a.data(), batch), typename K::X(k.b.data(), batch),
                typename K::Y(k.y.data(), batch));
  });
}

template <int S, int C>
void accumulate_copy(benchmark::State& state) {
  using K = Case<S, C>;
  against<S, C>(state, 8, [](K& k) {
    accumulate(k.dev, typename K::X(k.a.data(), batch), Into<float, Batch, S, C>(k.y.data(), batch));
  });
}

template <int S, int C>
void accumulate_add(benchmark::State& state) {
  using K = Case<S, C>;
  against<S, C>(state, 12, [](K& k) {
    accumulate(k.dev, typename K::X(k.a.data(), batch), Into<float, Batch, S, C>(k.y.data(), batch, true));
  });
}

// A function as a user writes it: compiled without AVX2, with four lanes at most.
template <int S, int C>
void users_function(benchmark::State& state) {
  using K = Case<S, C>;
  against<S, C>(state, 8, [](K& k) {
    const float* const x = k.a.data();
    elementwise(k.dev, typename K::Y(k.y.data(), batch), [=](std::size_t i) { return x[i] > 0 ? x[i] : 0.1f * x[i]; });
  });
}

template <int S, int C>
void users_sum(benchmark::State& state) {
  using K = Case<S, C>;
  against<S, C>(state, 4, [](K& k) {
    const float* const x = k.a.data();
    benchmark::DoNotOptimize(sum(k.dev, k.n, [=](std::size_t i) { return x[i]; }));
  });
}

#define SHAPES(f)            \
  BENCHMARK(f<784, 16>);     \
  BENCHMARK(f<14 * 14, 32>); \
  BENCHMARK(f<7 * 7, 64>)

SHAPES(add);
SHAPES(accumulate_copy);
SHAPES(accumulate_add);
SHAPES(users_function);
SHAPES(users_sum);

}  // namespace
