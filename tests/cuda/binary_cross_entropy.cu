// tests/kernels/binary_cross_entropy.hpp on Cuda; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/binary_cross_entropy.cuh"

#include "cuda/support.hpp"
#include "tenon/cuda/recorder.cuh"

using Device = tenon::Cuda;
#include "kernels/binary_cross_entropy.hpp"

TEST_CASE("cuda: a recorded binary_cross_entropy leaves its sums on the device") {
  for (const std::size_t n : {10u, 9000u}) {
    INFO("elements " << n);
    const int rows = static_cast<int>(n);
    auto values = numbers<float>(n, 1);
    OnDevice<float> x(values), target(numbers<float>(n, 2, 0, 1)), dx(n);
    const LossSums one = loss_of<float>(cuda(), x, target, nullptr);
    One<LossSums> sums(cuda(), {1, 2, 3, 4});
    const auto graph = capture(cuda(), [&] {
      binary_cross_entropy(cuda(), In<float, Batch, 1>(x.data(), rows), target.data(), Reduction::mean,
                           Out<float, Batch, 1>(dx.data(), rows), sums.data());
    });
    CHECK(sums.read().loss_sum == 1);
    replay(cuda(), graph);
    CHECK(sums.read().loss_sum == one.loss_sum);
    CHECK((sums.read().weight_sum == one.weight_sum && sums.read().correct == one.correct));
    CHECK(sums.read().count == one.count);
    values[n / 2] = NAN;
    x.write(values);
    replay(cuda(), graph);
    CHECK_FALSE(std::isfinite(sums.read().loss_sum));
  }
}
