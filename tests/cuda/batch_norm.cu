// tests/kernels/batch_norm.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/batch_norm.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;

// What backward and training work in besides: so many values.
static std::size_t workspace(int) { return 0; }

#include "kernels/batch_norm.hpp"

TEST_CASE("cuda: batch_norm moves no running statistics once a recorded step has stopped") {
  for (const int batch : {40, 500}) {
    const auto x = numbers<float>(static_cast<std::size_t>(batch) * 9, 1);
    const std::vector<float> ones(9, 1), zeros(9, 0);
    Case<float, 1, 9> the(cuda(), batch, 0, x, x, ones, zeros, zeros, ones);
    for (const int stopped : {0, 1, 0}) {
      kernels::CudaCursor now{};
      now.stopped = stopped;
      const Recorded recorded(now);
      const auto mean = the.running_mean.read(), var = the.running_var.read();
      the.train();
      CHECK((the.running_mean.read() == mean) == (stopped == 1));
      CHECK((the.running_var.read() == var) == (stopped == 1));
    }
  }
}

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
