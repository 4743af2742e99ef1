// AvgPool2d at batch 128, one thread, compared with the bandwidth of a triad over what it reads and writes.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/avg_pool2d.hpp"

using namespace tenon;
using namespace tenon::kernels;

namespace {

constexpr int batch = 128;
constexpr PoolDims small{32, 28, 28, {2, 2, 2, 2, 0, 0, 1, 1}}, few_channels{6, 28, 28, {2, 2, 2, 2, 0, 0, 1, 1}},
    overlapping{64, 28, 28, {3, 3, 2, 2, 1, 1, 1, 1}};

template <PoolDims D>
struct Layer {
  static constexpr int in = batch * D.h * D.w * D.c, out = batch * D.oh() * D.ow() * D.c;
  static constexpr double bytes = 4.0 * (in + out);
  using Y = Out<float, Batch, D.oh(), D.ow(), D.c>;
  Cpu dev;
  Buffer<float> x{in}, y{out}, dx{in};

  Layer() {
    for (int i = 0; i < in; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
    forward();
  }
  void forward() {
    avg_pool2d_forward(dev, PoolTag<D>{}, In<float, Batch, D.h, D.w, D.c>(x.data(), batch), Y(y.data(), batch));
  }
  void backward() {
    avg_pool2d_backward(dev, PoolTag<D>{}, Y(y.data(), batch), Into<float, Batch, D.h, D.w, D.c>(dx.data(), batch));
  }
};

template <PoolDims D>
void forward(benchmark::State& state) {
  Layer<D> layer;
  const double bandwidth = bench::memory_bandwidth(static_cast<std::size_t>(layer.bytes)) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.forward();
  share.report(state, layer.bytes / bandwidth);
}

template <PoolDims D>
void backward(benchmark::State& state) {
  Layer<D> layer;
  const double bandwidth = bench::memory_bandwidth(static_cast<std::size_t>(layer.bytes)) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.backward();
  share.report(state, layer.bytes / bandwidth);
}

BENCHMARK(forward<small>);
BENCHMARK(backward<small>);
BENCHMARK(forward<few_channels>);
BENCHMARK(backward<few_channels>);
BENCHMARK(forward<overlapping>);
BENCHMARK(backward<overlapping>);

}  // namespace
