// Matrix products compared with the FMA peak: the shapes of an MLP and of a convolutional network at batch 128, and
// large squares.
//   forward   A by rows, B in panels        dw   A by columns, B by rows, large strides        dx   A and B by rows
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/core/thread_pool.hpp"
#include "tenon/cpu/gemm.hpp"

using namespace tenon;
using namespace tenon::kernels;

namespace {

enum Layout { forward, dw, dx };

template <Layout L>
void product(benchmark::State& state) {
  const int m = static_cast<int>(state.range(0)), n = static_cast<int>(state.range(1)),
            k = static_cast<int>(state.range(2));
  Cpu dev(static_cast<int>(state.range(3)));
  dev.reserve_scratch(gemm_scratch<float>(m));
  Buffer<float> a(static_cast<std::size_t>(m) * k), b(gemm_packed(n, k)), c(static_cast<std::size_t>(m) * n);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7) - 3;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 5) - 2;
  Gemm<float> g{m, n, k, a.data(), L == dw ? 1 : k, L == dw ? m : 1, b.data(), panel, n, c.data(), n};
  if (L == forward) {
    g.b_panel = static_cast<std::ptrdiff_t>(k) * panel;
    g.b_k = panel;
  }
  const double peak = bench::fma_peak(dev.threads()) * 1e9, operations = 2.0 * m * n * k;
  const bench::Share share;
  for (auto _ : state) {
    gemm<Activation{}>(dev, g);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  share.report(state, operations / peak);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "n", "k", "threads"})->UseRealTime();
  for (const int threads : {1, 2}) {
    b->Args({1024, 1024, 1024, threads});
    b->Args({512, 512, 128, threads});
  }
}

BENCHMARK(product<forward>)
    ->Apply(shapes)
    ->Args({1, 256, 784, 1})
    ->Args({128, 256, 784, 1})
    ->Args({128, 256, 784, 2})
    ->Args({128, 128, 3136, 1})
    ->Args({128, 10, 128, 1});
BENCHMARK(product<dw>)
    ->Apply(shapes)
    ->Args({256, 784, 128, 1})
    ->Args({256, 784, 128, 2})
    ->Args({128, 3136, 128, 1})
    ->Args({10, 128, 128, 1});
BENCHMARK(product<dx>)
    ->Apply(shapes)
    ->Args({128, 784, 256, 1})
    ->Args({128, 784, 256, 2})
    ->Args({128, 3136, 128, 1})
    ->Args({128, 128, 10, 1});

}  // namespace
