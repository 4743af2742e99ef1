// tests/kernels/layer_norm.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/layer_norm.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;

// Number of values in the workspace of backward.
static std::size_t workspace(int) { return 0; }

#include "kernels/layer_norm.hpp"

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
