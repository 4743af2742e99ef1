// BatchNorm at the shapes of a small residual network, one thread, compared with the bandwidth of a triad.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/batch_norm.hpp"

using namespace tenon;

namespace {

constexpr int B = 128;

template <int S, int C>
struct Case {
  static constexpr int n = B * S * C;
  Cpu dev;
  Buffer<float> x{n}, y{n}, dx{n}, gamma{C}, beta{C}, mean{C}, rstd{C}, running_mean{C}, running_var{C}, dgamma{C},
      dbeta{C};
  Buffer<float> work{kernels::batch_norm_workspace(C)};
  StepState step;

  Case() {
    for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
    for (int c = 0; c < C; ++c) gamma[c] = running_var[c] = rstd[c] = 1;
  }
  /// The minimum seconds for `bytes` bytes per element.
  double floor(int bytes) const {
    return static_cast<double>(bytes) * n / (bench::memory_bandwidth(static_cast<std::size_t>(8) * n) * 1e9);
  }
};

template <int S, int C>
void training(benchmark::State& state) {
  Case<S, C> k;
  const double floor = k.floor(12);
  const bench::Share share;
  for (auto _ : state) {
    batch_norm_forward_training(k.dev, &k.step, In<float, Batch, S, C>(k.x.data(), B), In<float, C>(k.gamma.data()),
                                In<float, C>(k.beta.data()), 1e-5f, 0.1f, Out<float, C>(k.running_mean.data()),
                                Out<float, C>(k.running_var.data()), Out<float, C>(k.mean.data()),
                                Out<float, C>(k.rstd.data()), Out<float, Batch, S, C>(k.y.data(), B), k.work.span());
    benchmark::ClobberMemory();
  }
  share.report(state, floor);
}

template <int S, int C>
void inference(benchmark::State& state) {
  Case<S, C> k;
  const double floor = k.floor(8);
  const bench::Share share;
  for (auto _ : state) {
    batch_norm_forward_inference(k.dev, In<float, Batch, S, C>(k.x.data(), B), In<float, C>(k.gamma.data()),
                                 In<float, C>(k.beta.data()), 1e-5f, In<float, C>(k.running_mean.data()),
                                 In<float, C>(k.running_var.data()), Out<float, Batch, S, C>(k.y.data(), B));
    benchmark::ClobberMemory();
  }
  share.report(state, floor);
}

template <int S, int C>
void backward(benchmark::State& state) {
  Case<S, C> k;
  const double floor = k.floor(20);
  const bench::Share share;
  for (auto _ : state) {
    batch_norm_backward(k.dev, In<float, Batch, S, C>(k.x.data(), B), In<float, C>(k.gamma.data()),
                        In<float, C>(k.mean.data()), In<float, C>(k.rstd.data()), In<float, Batch, S, C>(k.y.data(), B),
                        Into<float, Batch, S, C>(k.dx.data(), B), Into<float, C>(k.dgamma.data()),
                        Into<float, C>(k.dbeta.data()), k.work.span());
    benchmark::ClobberMemory();
  }
  share.report(state, floor);
}

BENCHMARK(training<784, 16>);
BENCHMARK(training<196, 32>);
BENCHMARK(training<49, 64>);
BENCHMARK(inference<196, 32>);
BENCHMARK(backward<784, 16>);
BENCHMARK(backward<196, 32>);
BENCHMARK(backward<49, 64>);

}  // namespace
