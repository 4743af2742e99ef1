// GlobalAvgPool at batch 128, one thread, compared with the bandwidth of a triad over the images. Forward only
// reads and backward only writes, so the share may exceed 1.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/global_avg_pool.hpp"

using namespace tenon;

namespace {

constexpr int batch = 128;

template <int H, int C>
struct Layer {
  static constexpr int in = batch * H * H * C, out = batch * C;
  static constexpr double bytes = 4.0 * (in + out);
  Cpu dev;
  Buffer<float> x{in}, y{out};

  Layer() {
    for (int i = 0; i < in; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
  }
};

template <int H, int C>
void forward(benchmark::State& state) {
  Layer<H, C> k;
  const double bandwidth = bench::memory_bandwidth(static_cast<std::size_t>(k.bytes)) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    global_avg_pool_forward(k.dev, In<float, Batch, H, H, C>(k.x.data(), batch),
                            Out<float, Batch, C>(k.y.data(), batch));
    benchmark::ClobberMemory();
  }
  share.report(state, k.bytes / bandwidth);
}

template <int H, int C>
void backward(benchmark::State& state) {
  Layer<H, C> k;
  const double bandwidth = bench::memory_bandwidth(static_cast<std::size_t>(k.bytes)) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    global_avg_pool_backward(k.dev, In<float, Batch, C>(k.y.data(), batch),
                             Into<float, Batch, H, H, C>(k.x.data(), batch));
    benchmark::ClobberMemory();
  }
  share.report(state, k.bytes / bandwidth);
}

BENCHMARK(forward<7, 64>);
BENCHMARK(backward<7, 64>);
BENCHMARK(forward<28, 16>);
BENCHMARK(backward<28, 16>);

}  // namespace
