// Mean squared error, with and without its gradient, one thread, compared with the bandwidth of a triad over what it
// reads and writes.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/mean_squared_error.hpp"

using namespace tenon;

namespace {

template <int N, bool Gradient>
void mean_squared_error(benchmark::State& state) {
  const int batch = static_cast<int>(state.range(0));
  const std::size_t n = static_cast<std::size_t>(batch) * N;
  constexpr std::size_t bytes = Gradient ? 12 : 8;  // per element
  Cpu dev;
  Buffer<float> y(n), target(n), dy(n);
  for (std::size_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(i % 61) * 0.1f - 3;
    target[i] = static_cast<float>(i % 2);
  }
  const double bandwidth = bench::memory_bandwidth(bytes * n) * 1e9;
  const Out<float, Batch, N> to(Gradient ? dy.data() : nullptr, batch);
  LossSums sums;
  const bench::Share share;
  for (auto _ : state) {
    mean_squared_error(dev, In<float, Batch, N>(y.data(), batch), target.data(), Reduction::mean, to, &sums);
    benchmark::DoNotOptimize(sums);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n));
  share.report(state, static_cast<double>(bytes * n) / bandwidth);
}

constexpr bool with_gradient = true, loss_alone = false;
BENCHMARK(mean_squared_error<1, with_gradient>)->Arg(128)->Arg(1024);
BENCHMARK(mean_squared_error<10, with_gradient>)->Arg(128);
BENCHMARK(mean_squared_error<784, with_gradient>)->Arg(128);
BENCHMARK(mean_squared_error<784, loss_alone>)->Arg(128);

}  // namespace
