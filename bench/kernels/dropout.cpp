// Dropout at batch 128, one thread, compared with the bandwidth of a triad. The bound is the arithmetic of the mask,
// which is computed twice instead of being stored.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/dropout.hpp"

using namespace tenon;

namespace {

constexpr int batch = 128;
constexpr StepState step{};
constexpr std::uint32_t layer = 3;

template <int N>
void forward(benchmark::State& state) {
  constexpr int n = batch * N;
  Cpu dev;
  Buffer<float> x(n), y(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
  const double bandwidth = bench::memory_bandwidth(8 * n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    dropout_forward(dev, &step, layer, In<float, Batch, N>(x.data(), batch), 1, 2,
                    Out<float, Batch, N>(y.data(), batch));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  share.report(state, 8.0 * n / bandwidth);
}

template <int N>
void backward(benchmark::State& state) {
  constexpr int n = batch * N;
  Cpu dev;
  Buffer<float> dy(n), dx(n);
  for (int i = 0; i < n; ++i) dy[i] = static_cast<float>(i % 61) * 0.1f - 3;
  const double bandwidth = bench::memory_bandwidth(8 * n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    dropout_backward(dev, &step, layer, In<float, Batch, N>(dy.data(), batch), 1, 2,
                     Into<float, Batch, N>(dx.data(), batch));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  share.report(state, 8.0 * n / bandwidth);
}

BENCHMARK(forward<128>);
BENCHMARK(forward<784>);
BENCHMARK(forward<3136>);
BENCHMARK(backward<128>);
BENCHMARK(backward<784>);
BENCHMARK(backward<3136>);

}  // namespace
