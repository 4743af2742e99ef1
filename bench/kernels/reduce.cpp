// Reductions over flat gradients, one thread, compared with the bandwidth of a triad over as many bytes. They only
// read, so their share may exceed 1.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/reduce.hpp"

using namespace tenon;

namespace {

template <class F>
void reduce(benchmark::State& state, const F& f) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  Cpu dev;
  Buffer<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 97) * 0.01f - 0.5f;
  const double bandwidth = bench::memory_bandwidth(4 * n) * 1e9;
  const bench::Share share;
  for (auto _ : state) benchmark::DoNotOptimize(f(dev, Span<const float>{x.data(), n}));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(4 * n));
  share.report(state, 4.0 * static_cast<double>(n) / bandwidth);
}

void squares(benchmark::State& state) {
  reduce(state, [](Cpu& dev, Span<const float> x) { return sum_of_squares(dev, x); });
}
void finite(benchmark::State& state) {
  reduce(state, [](Cpu& dev, Span<const float> x) { return all_finite(dev, x); });
}

BENCHMARK(squares)->Arg(25'000)->Arg(235'146)->Arg(421'642)->Arg(4'000'000);  // .. mlp, cnn ..
BENCHMARK(finite)->Arg(25'000)->Arg(235'146)->Arg(421'642)->Arg(4'000'000);

}  // namespace
