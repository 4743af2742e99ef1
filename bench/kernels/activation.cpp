// Activations alone, one thread, compared with the bandwidth of a triad over as many bytes. From sigmoid on, the bound
// is arithmetic.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/activation.hpp"

using namespace tenon;
using namespace tenon::kernels;

namespace {

constexpr int n = 128 * 28 * 28;

template <Activation::Kind K>
void forward(benchmark::State& state) {
  Cpu dev;
  Buffer<float> x(n), y(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
  const double bandwidth = bench::memory_bandwidth(8 * n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    activation_forward(dev, std::integral_constant<Activation, Activation{K, 1, 100}>{},
                       In<float, Batch, 1>(x.data(), n), Out<float, Batch, 1>(y.data(), n));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  share.report(state, 8.0 * n / bandwidth);
}

template <Activation::Kind K>
void backward(benchmark::State& state) {
  Cpu dev;
  Buffer<float> x(n), dy(n), dx(n);
  for (int i = 0; i < n; ++i) x[i] = dy[i] = static_cast<float>(i % 61) * 0.1f - 3;
  const double bandwidth = bench::memory_bandwidth(12 * n) * 1e9;
  const In<float, Batch, 1> in(x.data(), n);  // stands for x or y, whichever is read
  const bench::Share share;
  for (auto _ : state) {
    activation_backward(dev, std::integral_constant<Activation, Activation{K, 1, 100}>{}, in, in,
                        In<float, Batch, 1>(dy.data(), n), Into<float, Batch, 1>(dx.data(), n));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  share.report(state, 12.0 * n / bandwidth);
}

BENCHMARK(forward<Activation::relu>);
BENCHMARK(forward<Activation::leaky_relu>);
BENCHMARK(forward<Activation::sigmoid>);
BENCHMARK(forward<Activation::tanh>);
BENCHMARK(forward<Activation::gelu>);
BENCHMARK(forward<Activation::gelu_tanh>);
BENCHMARK(forward<Activation::silu>);
BENCHMARK(backward<Activation::relu>);
BENCHMARK(backward<Activation::tanh>);
BENCHMARK(backward<Activation::gelu>);
BENCHMARK(backward<Activation::silu>);

}  // namespace
