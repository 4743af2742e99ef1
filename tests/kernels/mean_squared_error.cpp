// Mean squared error: loss and gradient.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/mean_squared_error.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/mean_squared_error.hpp"

using namespace tenon;
using namespace tenon::tests;

TEMPLATE_TEST_CASE("mean_squared_error agrees with the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  for (const int rows : {1, 3, 11, 5000}) {
    constexpr int N = 3;
    const std::size_t n = static_cast<std::size_t>(rows) * N;
    INFO("elements " << n);
    const auto y = numbers<T>(n, 1, -3, 3), target = numbers<T>(n, 2);
    std::vector<double> want(n);
    const double loss = kernels::ref::mean_squared_error(widen(y).data(), widen(target).data(), n, want.data());
    SameBits same;
    for_each_cpu([&](Cpu& dev) {
      Guarded<T> dy(n), in_place(y);
      LossSums sums, at_evaluation;
      mean_squared_error(dev, In<T, Batch, N>(y.data(), rows), target.data(), Out<T, Batch, N>(dy.data(), rows), &sums);
      CHECK(std::abs(sums.loss() - loss) <= tolerance * loss);
      CHECK(sums.weight_sum == static_cast<double>(n));
      CHECK(sums.count == rows);
      CHECK(sums.correct == 0);
      CHECK(difference(dy, want, tolerance, tolerance / static_cast<double>(n)) == "");
      CHECK(same(dev, sums.loss_sum));
      mean_squared_error(dev, In<T, Batch, N>(y.data(), rows), target.data(), Out<T, Batch, N>(nullptr, rows),
                         &at_evaluation);
      CHECK(at_evaluation.loss_sum == sums.loss_sum);
      mean_squared_error(dev, In<T, Batch, N>(in_place.data(), rows), target.data(),
                         Out<T, Batch, N>(in_place.data(), rows), &sums);
      CHECK(difference(in_place, want, tolerance, tolerance / static_cast<double>(n)) == "");
      CHECK((dy.intact() && in_place.intact()));
    });
  }
}

TEST_CASE("mean_squared_error's gradient is that of its loss") {
  std::vector<double> y{1, -2, 0.5, 3};
  const std::vector<double> target{0, 1, 0.5, -1};
  Cpu dev;
  std::vector<double> dy(4);
  LossSums sums;
  mean_squared_error(dev, In<double, Batch, 2>(y.data(), 2), target.data(), Out<double, Batch, 2>(dy.data(), 2), &sums);
  for (int i = 0; i < 4; ++i) {
    const double at = y[i], h = 1e-5;
    double f[2];
    for (int side = 0; side < 2; ++side) {
      y[i] = at + (side ? h : -h);
      mean_squared_error(dev, In<double, Batch, 2>(y.data(), 2), target.data(), Out<double, Batch, 2>(), &sums);
      f[side] = sums.loss();
    }
    y[i] = at;
    CHECK_THAT(dy[i], WithinAbs((f[1] - f[0]) / (2 * h), 1e-9));
  }
}
