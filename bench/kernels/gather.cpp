// Gathering a batch of 128 from 60,000 resident images, one thread, compared with the bandwidth of a triad over the
// batch. When shuffled, every image is a cache miss, so a triad over the whole set would be an easier bound.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/cpu/gather.hpp"

using namespace tenon;

namespace {

constexpr int batch = 128;

template <int H, int C>
void gather(benchmark::State& state) {
  constexpr int sample = H * H * C;
  const std::int64_t count = C == 1 ? 60000 : 10000;
  const std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count) * sample, 100);
  kernels::ImageSource<float> source{};
  source.images = {pixels.data(), count, H, H, C, C > 1};
  source.size = static_cast<std::uint64_t>(count);
  source.shift = source.flip = state.range(1) != 0;
  const Pass pass = state.range(0) ? Pass::training : Pass::evaluation;
  Cpu dev;
  Buffer<float> x(static_cast<std::size_t>(batch) * sample);
  const double bandwidth = bench::memory_bandwidth(5 * batch * sample) * 1e9;
  StepState step;
  const bench::Share share;
  for (auto _ : state) {
    gather_batch(dev, &source, &step, pass, Out<float, Batch, H, H, C>(x.data(), batch), nullptr);
    step.first_sample = (step.first_sample + batch) % static_cast<std::uint64_t>(count - batch);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * batch);
  share.report(state, 5.0 * batch * sample / bandwidth);
}
BENCHMARK(gather<28, 1>)->ArgNames({"shuffled", "augmented"})->Args({0, 0})->Args({1, 0})->Args({1, 1});
BENCHMARK(gather<32, 3>)->ArgNames({"shuffled", "augmented"})->Args({1, 0})->Args({1, 1});

}  // namespace
