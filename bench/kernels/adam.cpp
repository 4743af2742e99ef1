// Adam over flat memory, one thread, compared with the bandwidth of a triad over as many bytes.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/adam.hpp"

using namespace tenon;

namespace {

void adam(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  Cpu dev;
  Buffer<float> w(n), g(n), m(n), v(n);
  for (std::size_t i = 0; i < n; ++i) w[i] = g[i] = static_cast<float>(i % 97) * 0.01f - 0.5f;
  const double bandwidth = bench::memory_bandwidth(n * 16) * 1e9;
  StepState step;
  step.learning_rate = 1e-3;
  const bench::Share share;
  for (auto _ : state) {
    adam_update(dev, kernels::AdamOptions{}, &step, w.span(), {g.data(), n}, m.span(), v.span());
    ++step.step;
    benchmark::ClobberMemory();
  }
  const double bytes = 28.0 * static_cast<double>(n);  // 16 read, 12 written
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
  share.report(state, bytes / bandwidth);
}
BENCHMARK(adam)->Arg(25'000)->Arg(235'146)->Arg(421'642)->Arg(4'000'000);  // .. mlp, cnn ..

}  // namespace
