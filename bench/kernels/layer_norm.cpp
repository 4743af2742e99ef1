// LayerNorm over vectors and sequences at batch 128, one thread, compared with the bandwidth of a triad. A row
// is read from memory once and then stays in the caches.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/layer_norm.hpp"

using namespace tenon;

namespace {

constexpr int B = 128;

template <int R, int N>
struct Case {
  static constexpr int n = B * R * N;
  Cpu dev;
  Buffer<float> x{n}, y{n}, dx{n}, gamma{N}, beta{N}, mean{B * R}, rstd{B * R}, dgamma{N}, dbeta{N};
  Buffer<float> work{kernels::layer_norm_workspace(N)};

  Case() {
    for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
    for (int i = 0; i < N; ++i) gamma[i] = 1;
    forward();
  }
  void forward() {
    layer_norm_forward(dev, In<float, Batch, R, N>(x.data(), B), In<float, N>(gamma.data()), In<float, N>(beta.data()),
                       1e-5f, Out<float, Batch, R, N>(y.data(), B), Out<float, Batch, R>(mean.data(), B),
                       Out<float, Batch, R>(rstd.data(), B));
  }
  void backward() {
    layer_norm_backward(dev, In<float, Batch, R, N>(x.data(), B), In<float, N>(gamma.data()),
                        In<float, Batch, R>(mean.data(), B), In<float, Batch, R>(rstd.data(), B),
                        In<float, Batch, R, N>(y.data(), B), Into<float, Batch, R, N>(dx.data(), B),
                        Into<float, N>(dgamma.data()), Into<float, N>(dbeta.data()), work.span());
  }
};

template <int R, int N>
void forward(benchmark::State& state) {
  Case<R, N> k;
  const double bandwidth = bench::memory_bandwidth(8 * k.n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    k.forward();
    benchmark::ClobberMemory();
  }
  share.report(state, 8.0 * k.n / bandwidth);
}

template <int R, int N>
void backward(benchmark::State& state) {
  Case<R, N> k;
  const double bandwidth = bench::memory_bandwidth(12 * k.n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    k.backward();
    benchmark::ClobberMemory();
  }
  share.report(state, 12.0 * k.n / bandwidth);
}

BENCHMARK(forward<1, 784>);
BENCHMARK(forward<1, 128>);
BENCHMARK(forward<64, 128>);
BENCHMARK(forward<64, 16>);
BENCHMARK(backward<1, 784>);
BENCHMARK(backward<1, 128>);
BENCHMARK(backward<64, 128>);
BENCHMARK(backward<64, 16>);

}  // namespace
