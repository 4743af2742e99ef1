// Gathering a batch of 128 from 60,000 resident images, one thread: against the bandwidth of a triad over the batch.
// Shuffled, every image is a miss of the caches, so that a triad over the set would be the kinder floor.
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
  const Images from{pixels.data(), count, H, H, C, C > 1};
  const Order order = state.range(0)
                          ? Order::shuffle(static_cast<std::uint64_t>(count), {1, random::Use::shuffle, 0, 0})
                          : Order::sequential();
  const Augmentation augmentation{state.range(1) != 0, state.range(1) != 0, {1, random::Use::augment, 0, 0}};
  Cpu dev;
  Buffer<float> x(static_cast<std::size_t>(batch) * sample);
  const double bandwidth = bench::memory_bandwidth(5 * batch * sample) * 1e9;
  std::uint64_t first = 0;
  const bench::Share share;
  for (auto _ : state) {
    gather_images(dev, from, order, first, augmentation, {}, Out<float, Batch, H, H, C>(x.data(), batch));
    first = (first + batch) % static_cast<std::uint64_t>(count - batch);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * batch);
  share.report(state, 5.0 * batch * sample / bandwidth);
}
BENCHMARK(gather<28, 1>)->ArgNames({"shuffled", "augmented"})->Args({0, 0})->Args({1, 0})->Args({1, 1});
BENCHMARK(gather<32, 3>)->ArgNames({"shuffled", "augmented"})->Args({1, 0})->Args({1, 1});

}  // namespace
