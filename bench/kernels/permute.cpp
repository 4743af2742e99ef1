// Permutations between the two layouts of an image at batch 128, one thread, compared with the bandwidth of a triad
// over what is read and written.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/permute.hpp"

using namespace tenon;

namespace {

constexpr int batch = 128;

enum Way { to_first, to_last, to_first_added };  // the last: as in the backward pass of a value used twice

template <Way W, int H, int C>
void permute(benchmark::State& state) {
  constexpr int n = batch * H * H * C;
  constexpr std::size_t bytes = W == to_first_added ? 12 : 8;  // per value
  Cpu dev;
  Buffer<float> x(n), y(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 3;
  const double bandwidth = bench::memory_bandwidth(bytes * n) * 1e9;
  const bench::Share share;
  for (auto _ : state) {
    if constexpr (W == to_last)
      to_channels_last(dev, In<float, Batch, C, H, H>(x.data(), batch), Into<float, Batch, H, H, C>(y.data(), batch));
    else
      to_channels_first(dev, In<float, Batch, H, H, C>(x.data(), batch),
                        Into<float, Batch, C, H, H>(y.data(), batch, W == to_first_added));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  share.report(state, static_cast<double>(bytes * n) / bandwidth);
}

BENCHMARK(permute<to_first, 7, 64>);  // a Flatten that no convolution absorbs
BENCHMARK(permute<to_first, 28, 16>);
BENCHMARK(permute<to_first_added, 7, 64>);
BENCHMARK(permute<to_last, 7, 64>);
BENCHMARK(permute<to_last, 28, 16>);
BENCHMARK(permute<to_last, 32, 3>);  // color images

}  // namespace
