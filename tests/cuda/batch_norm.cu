// tests/kernels/batch_norm.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/batch_norm.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;

// Number of values in the workspace of backward and training.
static std::size_t workspace(int) { return 0; }

#include "kernels/batch_norm.hpp"

TEST_CASE("cuda: batch_norm's scratch does not shrink where the batch grows") {
  std::size_t before = 0;
  for (const std::size_t rows : {1u, 4097u, 2048u * 512u, 2048u * 512u + 1u, 3000000u}) {
    const kernels::cuda::BatchNormTile tile(rows, 1, 1, 32);
    const kernels::cuda::BatchNormChunks chunks(tile);
    CHECK(chunks.capacity >= before);
    CHECK(chunks.capacity >= chunks.count);
    before = chunks.capacity;
  }
}
