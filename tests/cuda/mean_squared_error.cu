// tests/kernels/mean_squared_error.hpp on Cuda; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/mean_squared_error.cuh"

#include "cuda/support.hpp"
#include "tenon/cuda/recorder.cuh"

using Device = tenon::Cuda;
#include "kernels/mean_squared_error.hpp"

TEST_CASE("cuda: a recorded mean_squared_error leaves its sums on the device") {
  for (const std::size_t n : {9u, 9000u}) {
    INFO("elements " << n);
    const int rows = static_cast<int>(n);
    auto values = integers<float>(n, 1);
    OnDevice<float> y(values), target(integers<float>(n, 2)), dy(n);
    const LossSums one = loss_of<float>(cuda(), y, target, nullptr);
    One<LossSums> sums(cuda(), {1, 2, 3, 4});
    const auto graph = capture(cuda(), [&] {
      mean_squared_error(cuda(), In<float, Batch, 1>(y.data(), rows), target.data(), Reduction::mean,
                         Out<float, Batch, 1>(dy.data(), rows), sums.data());
    });
    CHECK(sums.read().loss_sum == 1);
    replay(cuda(), graph);
    CHECK((sums.read().loss_sum == one.loss_sum && sums.read().weight_sum == one.weight_sum));
    CHECK((sums.read().correct == 0 && sums.read().count == 0));
    values[n - 1] = INFINITY;
    y.write(values);
    replay(cuda(), graph);
    CHECK_FALSE(std::isfinite(sums.read().loss_sum));
  }
}
