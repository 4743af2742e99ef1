// Cross-entropy with its gradient, one thread, compared with the bandwidth of a triad. With few classes, the bound
// is the exponentials and one logarithm per row.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/cross_entropy.hpp"

using namespace tenon;

namespace {

template <int C>
void cross_entropy_with_gradient(benchmark::State& state) {
  const int batch = static_cast<int>(state.range(0));
  const std::size_t n = static_cast<std::size_t>(batch) * C;
  Cpu dev;
  Buffer<float> x(n), dx(n);
  Buffer<std::int32_t> labels(static_cast<std::size_t>(batch));
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
  for (int b = 0; b < batch; ++b) labels[b] = b % C;
  const double bandwidth = bench::memory_bandwidth(8 * n) * 1e9;
  LossSums sums;
  const bench::Share share;
  for (auto _ : state) {
    cross_entropy(dev, In<float, Batch, C>(x.data(), batch), labels.data(), {}, Reduction::mean,
                  Out<float, Batch, C>(dx.data(), batch), &sums);
    benchmark::DoNotOptimize(sums);
  }
  state.SetItemsProcessed(state.iterations() * batch);
  share.report(state, 8.0 * static_cast<double>(n) / bandwidth);
}
BENCHMARK(cross_entropy_with_gradient<10>)->Arg(128)->Arg(1024);
BENCHMARK(cross_entropy_with_gradient<100>)->Arg(128);
BENCHMARK(cross_entropy_with_gradient<1000>)->Arg(128);

}  // namespace
