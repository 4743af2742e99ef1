// Binary cross-entropy, with and without its gradient, one thread, compared with the bandwidth of a triad. The
// bound is one exponential and one logarithm per element.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/binary_cross_entropy.hpp"

using namespace tenon;

namespace {

template <int N, bool Gradient>
void binary_cross_entropy(benchmark::State& state) {
  const int batch = static_cast<int>(state.range(0));
  const std::size_t n = static_cast<std::size_t>(batch) * N;
  constexpr std::size_t bytes = Gradient ? 12 : 8;  // per element
  Cpu dev;
  Buffer<float> x(n), target(n), dx(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(i % 61) * 0.1f - 3;
    target[i] = static_cast<float>(i % 2);
  }
  const double bandwidth = bench::memory_bandwidth(bytes * n) * 1e9;
  const Out<float, Batch, N> to(Gradient ? dx.data() : nullptr, batch);
  LossSums sums;
  const bench::Share share;
  for (auto _ : state) {
    binary_cross_entropy(dev, In<float, Batch, N>(x.data(), batch), target.data(), Reduction::mean, to, &sums);
    benchmark::DoNotOptimize(sums);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n));
  share.report(state, static_cast<double>(bytes * n) / bandwidth);
}

constexpr bool with_gradient = true, loss_alone = false;
BENCHMARK(binary_cross_entropy<1, with_gradient>)->Arg(128)->Arg(1024);
BENCHMARK(binary_cross_entropy<10, with_gradient>)->Arg(128);
BENCHMARK(binary_cross_entropy<784, with_gradient>)->Arg(128);
BENCHMARK(binary_cross_entropy<784, loss_alone>)->Arg(128);

}  // namespace
