// SGD over flat memory, one thread, compared with the bandwidth of a triad over as many bytes. It writes where it has
// read, which avoids the reads that a triad's writes cause, so its share may exceed 1.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/sgd.hpp"

using namespace tenon;

namespace {

void sgd(benchmark::State& state, double momentum, bool nesterov) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  Cpu dev;
  Buffer<float> w(n), g(n), velocity(n);
  for (std::size_t i = 0; i < n; ++i) w[i] = g[i] = static_cast<float>(i % 97) * 0.01f - 0.5f;
  const double bytes = (momentum != 0 ? 20.0 : 12.0) * static_cast<double>(n);  // 12 read, 8 written; or 8 and 4
  const double bandwidth = bench::memory_bandwidth(momentum != 0 ? 12 * n : 8 * n) * 1e9;
  const kernels::SgdOptions options{momentum, nesterov, 0};
  StepState step;
  step.learning_rate = 1e-6;  // keeps weights finite for any number of iterations
  const bench::Share share;
  for (auto _ : state) {
    sgd_update(dev, options, &step, w.span(), {g.data(), n}, velocity.span());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(static_cast<double>(state.iterations()) * bytes));
  share.report(state, bytes / bandwidth);
}

void plain(benchmark::State& state) { sgd(state, 0, false); }
void momentum(benchmark::State& state) { sgd(state, 0.9, false); }
void nesterov(benchmark::State& state) { sgd(state, 0.9, true); }

BENCHMARK(plain)->Arg(25'000)->Arg(235'146)->Arg(421'642)->Arg(4'000'000);  // .. mlp, cnn ..
BENCHMARK(momentum)->Arg(25'000)->Arg(235'146)->Arg(421'642)->Arg(4'000'000);
BENCHMARK(nesterov)->Arg(421'642);

}  // namespace
