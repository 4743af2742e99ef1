// Linear compared with the FMA peak (prepare: with the bandwidth of a triad over the weights).
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/core/thread_pool.hpp"
#include "tenon/cpu/linear.hpp"

using namespace tenon;
using namespace tenon::kernels;

namespace {

constexpr EpilogueTag<Epilogue{Activation{Activation::relu}}> relu{};

template <int B, int I, int O>
struct Layer {
  Cpu dev;
  Buffer<float> x{B * I}, w{O * I}, b{O}, y{B * O}, dy{B * O}, dx{B * I}, dw{O * I}, db{O}, packed{linear_packed(I, O)},
      work{linear_workspace(I, O)};

  explicit Layer(std::int64_t threads) : dev(threads) {
    dev.reserve_scratch(linear_scratch<float>(I, O));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 5) - 2;
    prepare();
  }
  void prepare() { linear_prepare(dev, In<float, O, I>(w.data()), packed.span()); }
  void forward() {
    linear_forward(dev, In<float, Batch, I>(x.data(), B), In<float, O, I>(w.data()),
                   Span<const float>{packed.data(), packed.size()}, In<float, O>(b.data()), relu,
                   Out<float, Batch, O>(y.data(), B));
  }
  void backward() {
    linear_backward(dev, In<float, Batch, I>(x.data(), B), In<float, O, I>(w.data()), In<float, Batch, O>(y.data(), B),
                    relu, Out<float, Batch, O>(dy.data(), B), Into<float, Batch, I>(dx.data(), B),
                    Into<float, O, I>(dw.data()), Into<float, O>(db.data()), work.span());
  }
};

template <int B, int I, int O>
void forward(benchmark::State& state) {
  Layer<B, I, O> layer(state.range(0));
  const double peak = bench::fma_peak(layer.dev.threads()) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.forward();
  share.report(state, 2.0 * B * I * O / peak);
}

template <int B, int I, int O>
void backward(benchmark::State& state) {
  Layer<B, I, O> layer(state.range(0));
  layer.forward();
  const double peak = bench::fma_peak(layer.dev.threads()) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.backward();
  share.report(state, 4.0 * B * I * O / peak);
}

template <int B, int I, int O>
void prepare(benchmark::State& state) {
  Layer<B, I, O> layer(state.range(0));
  const double bandwidth = bench::memory_bandwidth(8 * I * O) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.prepare();
  share.report(state, 8.0 * I * O / bandwidth);
}

#define LINEAR(B, I, O)                                                           \
  BENCHMARK(forward<B, I, O>)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime(); \
  BENCHMARK(backward<B, I, O>)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()

LINEAR(128, 784, 256);
LINEAR(128, 256, 128);
LINEAR(128, 128, 10);
LINEAR(128, 3136, 128);
LINEAR(1, 784, 256);
BENCHMARK(prepare<128, 784, 256>)->ArgName("threads")->Arg(1)->UseRealTime();
BENCHMARK(prepare<128, 3136, 128>)->ArgName("threads")->Arg(1)->UseRealTime();

}  // namespace
