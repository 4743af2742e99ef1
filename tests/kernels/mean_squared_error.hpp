// Mean squared error: exact for integers, otherwise close to the reference; the gradient of the mean and of the sum.
// Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/mean_squared_error.hpp"

namespace {

template <class T, int N = 3>
LossSums loss_of(Device& dev, Memory<T>& y, Memory<T>& target, T* dy, Reduction reduction = Reduction::mean) {
  const int rows = static_cast<int>(y.size() / N);
  One<LossSums> sums(dev);
  mean_squared_error(dev, In<T, Batch, N>(y.data(), rows), target.data(), reduction, Out<T, Batch, N>(dy, rows),
                     sums.data());
  return sums.read();
}

}  // namespace

TEMPLATE_TEST_CASE("mean_squared_error agrees with the reference", "", float, double) {
  using T = TestType;
  for (const int rows : {1, 3, 11, 2730, 2731, 5000, 7001})  // on Cuda one block takes up to 2730 rows
    for (const Kind kind : {Kind::whole, Kind::real})
      for (const std::size_t offset : {0u, 1u}) {
        const std::size_t n = static_cast<std::size_t>(rows) * 3;
        const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
        INFO("elements " << n << ", whole " << (kind == Kind::whole) << ", offset " << offset);
        const auto y = kind == Kind::whole ? integers<T>(n, 1) : numbers<T>(n, 1, -3, 3),
                   target = values<T>(kind, n, 2);
        std::vector<double> want(n);
        const double loss = kernels::ref::mean_squared_error(widen(y).data(), widen(target).data(), n, want.data());
        std::vector<T> want_of_sum(n);
        for (std::size_t i = 0; i < n; ++i) want_of_sum[i] = 2 * (y[i] - target[i]);
        SameBitsOn<Device> same, same_loss;
        Ways<Device>::each([&](Device& dev) {
          Memory<T> from(y), t(target), dy(n, -77, offset), dy_of_sum(n, -77, offset), in_place(y, offset);
          const LossSums sums = loss_of(dev, from, t, dy.data());
          if (kind == Kind::whole) CHECK(sums.loss() == loss);  // the sum is exact
          CHECK(std::abs(sums.loss() - loss) <= tolerance * loss);
          CHECK(sums.weight_sum == static_cast<double>(n));
          CHECK((sums.count == 0 && sums.correct == 0));  // there is no accuracy
          CHECK(difference(dy.read(), want, tolerance, tolerance / static_cast<double>(n)) == "");
          CHECK(same(dev, dy.read()));
          CHECK(same_loss(dev, std::vector<double>{sums.loss_sum}));
          CHECK(loss_of<T>(dev, from, t, nullptr).loss_sum == sums.loss_sum);
          const LossSums of_sum = loss_of(dev, from, t, dy_of_sum.data(), Reduction::sum);
          CHECK((of_sum.loss_sum == sums.loss_sum && of_sum.weight_sum == sums.weight_sum));
          CHECK((dy_of_sum.read() == want_of_sum));
          CHECK(loss_of(dev, in_place, t, in_place.data()).loss_sum == sums.loss_sum);
          CHECK(same(dev, in_place.read()));
          CHECK((dy.intact() && dy_of_sum.intact() && in_place.intact()));
        });
      }
}

TEST_CASE("mean_squared_error of more values than Cuda takes in one round of its blocks") {
  Device dev = device<Device>();
  const std::size_t n = 1024 * 1024 + 5;
  REQUIRE(n % 3 == 0);
  Memory<float> y(n, 2), t(n, 1), dy(n);
  const LossSums sums = loss_of(dev, y, t, dy.data());
  CHECK(sums.loss_sum == static_cast<double>(n));
  CHECK((dy.read() == std::vector<float>(n, static_cast<float>(2.0 / static_cast<double>(n)))));
  CHECK(dy.intact());
}

TEST_CASE("mean_squared_error's gradient is that of its loss") {
  Device dev = device<Device>();
  const std::vector<double> y{1, -2, 0.5, 3};
  Memory<double> from(y), target(std::vector<double>{0, 1, 0.5, -1}), dy(y.size());
  loss_of<double, 2>(dev, from, target, dy.data());
  check_gradient(dy.read(), y, 1e-9, [&](const auto& at) {
    Memory<double> moved(at);
    return loss_of<double, 2>(dev, moved, target, nullptr).loss();
  });
}
