// tests/kernels/reduce.hpp on Cuda; results that stay on the device; scratch.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/reduce.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/reduce.hpp"

TEMPLATE_TEST_CASE("cuda: sum_of_squares_then has the bits of sum_of_squares", "", float, double) {
  for (const std::size_t n : {0, 1, 1025, 2048, 2049, 20001}) {
    INFO("n " << n);
    Ways<Device>::each([&](Device& dev) {
      Memory<TestType> x(numbers<TestType>(n, 1));
      Memory<double> result(1);
      sum_of_squares_then(dev, span(x), kernels::cuda::ReduceStore<double>{result.data()});
      CHECK(result.read()[0] == sum_of_squares(dev, span(x)));
      CHECK(result.intact());
    });
  }
}

TEST_CASE("cuda: a reduction's scratch covers all smaller ones") {
  std::size_t before = 0;
  for (const std::size_t n : {0u, 1u, 2048u, 2049u, 2048u * 1024u, 2048u * 1024u + 1u, 5000000u}) {
    const std::size_t capacity = kernels::cuda::ReduceChunks::capacity(n);
    CHECK(capacity >= before);
    CHECK(capacity >= kernels::cuda::ReduceChunks(n).count);
    before = capacity;
  }
}
