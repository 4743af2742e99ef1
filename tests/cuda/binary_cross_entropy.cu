// tests/kernels/binary_cross_entropy.hpp on Cuda; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/binary_cross_entropy.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;
#include "kernels/binary_cross_entropy.hpp"

TEST_CASE("cuda: a recorded step leaves its binary cross-entropy on the device") {
  for (const std::size_t n : {10u, 9000u}) {
    auto values = numbers<float>(n, 1);
    OnDevice<float> x(values), target(numbers<float>(n, 2, 0, 1));
    values[n / 2] = NAN;
    OnDevice<float> bad(values);
    const LossSums one = loss_of<float>(cuda(), x, target, nullptr);
    const Recorded step({0, 6, 0, 0.1, 1, 0, 0}, {1, 2, 3, 4});
    loss_of<float>(cuda(), x, target, nullptr);
    const LossSums sums = step.sums();
    CHECK(sums.loss_sum == one.loss_sum);
    CHECK(sums.weight_sum == one.weight_sum);
    CHECK(sums.correct == one.correct);
    CHECK(sums.count == one.count);
    loss_of<float>(cuda(), bad, target, nullptr);
    CHECK_FALSE(std::isfinite(step.sums().loss_sum));
  }
}
