// tests/kernels/layer_norm.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/layer_norm.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;

// What backward works in besides: so many values.
static std::size_t workspace(int) { return 0; }

#include "kernels/layer_norm.hpp"

// Of these two the Cpu, which adds in float, keeps less.
TEST_CASE("cuda: layer_norm keeps its digits when the mean is a thousand deviations") {
  // The inputs themselves hold the deviation to 1e-4 only; the sum of squares alone would lose it all.
  agrees<float, 1, 100>(9, 2e-4, 0, 1000);
  agrees<float, 1, 2000>(2, 2e-4, 0, 1000);
  agrees<float, 1, 100>(3, 2e-4, 1, 1000);
}

TEST_CASE("cuda: layer_norm of equal values is beta") {
  Device dev = device<Device>();
  const auto equal = [&](auto width) {
    constexpr int N = decltype(width)::value;
    const std::vector<float> x(N * 3, 12345.678f), gamma(N, 2), beta = numbers<float>(N, 1);
    Case<float, 1, N> the(dev, 3, 0, x, x, gamma, beta);
    the.forward();
    const auto y = the.y.read();
    for (std::size_t i = 0; i < y.size(); ++i)
      if (y[i] != beta[i % N]) FAIL("N " << N << ", at " << i << ": " << y[i]);
  };
  equal(std::integral_constant<int, 10>{});
  equal(std::integral_constant<int, 100>{});
  equal(std::integral_constant<int, 1500>{});
  equal(std::integral_constant<int, 8200>{});
}

TEST_CASE("cuda: layer_norm's scratch does not shrink where the batch grows, nor depends on alignment") {
  using Team = kernels::cuda::LayerNormBackwardTeam<float, 64>;
  std::size_t before = 0;
  for (const std::size_t rows : {1u, 8u, 9u, 2048u, 2049u, 100000u}) {
    const auto chunks = kernels::cuda::LayerNormChunks::of<Team>(rows);
    CHECK(chunks.capacity >= before);
    CHECK(chunks.capacity >= chunks.count);
    before = chunks.capacity;
  }
}
