// tests/kernels/mean_squared_error.hpp on Cuda; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/mean_squared_error.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;
#include "kernels/mean_squared_error.hpp"

TEST_CASE("cuda: a recorded step leaves its squared error on the device") {
  for (const std::size_t n : {9u, 9000u}) {
    auto numbers_ = integers<float>(n, 1);
    OnDevice<float> y(numbers_), target(integers<float>(n, 2));
    numbers_[n - 1] = INFINITY;
    OnDevice<float> bad(numbers_);
    const LossSums one = loss_of<float>(cuda(), y, target, nullptr);
    const Recorded step({0, 6, 0, 0.1, 1, 0, 0}, {1, 2, 3, 4});
    loss_of<float>(cuda(), y, target, nullptr);
    const LossSums sums = step.sums();
    CHECK(sums.loss_sum == one.loss_sum);
    CHECK(sums.weight_sum == one.weight_sum);
    CHECK(sums.correct == one.correct);
    CHECK(sums.count == one.count);
    loss_of<float>(cuda(), bad, target, nullptr);
    CHECK_FALSE(std::isfinite(step.sums().loss_sum));
  }
}
