// Binary cross-entropy on logits: loss, gradient of the mean and of the sum, decisions; huge and tiny logits.
// Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/binary_cross_entropy.hpp"

namespace {

template <class T, int N = 1>
LossSums loss_of(Device& dev, Memory<T>& x, Memory<T>& target, T* dx, Reduction reduction = Reduction::mean) {
  const int rows = static_cast<int>(x.size() / N);
  One<LossSums> sums(dev);
  binary_cross_entropy(dev, In<T, Batch, N>(x.data(), rows), target.data(), reduction, Out<T, Batch, N>(dx, rows),
                       sums.data());
  return sums.read();
}

template <class T>
void agrees(const std::vector<T>& x, const std::vector<T>& target, std::size_t offset = 0) {
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  const std::size_t n = x.size();
  const int rows = static_cast<int>(n);
  INFO("elements " << n << ", offset " << offset);
  std::vector<double> want(n);
  const double loss = kernels::ref::binary_cross_entropy(widen(x).data(), widen(target).data(), n, want.data());
  std::int64_t right = 0;
  for (std::size_t i = 0; i < n; ++i) right += (x[i] > 0) == (target[i] > T(0.5));
  std::vector<double> want_of_sum(want);
  for (double& d : want_of_sum) d *= rows;
  SameBitsOn<Device> same, same_loss;
  Ways<Device>::each([&](Device& dev) {
    Memory<T> from(x, offset), t(target), dx(n), dx_of_sum(n), in_place(x);
    const LossSums sums = loss_of(dev, from, t, dx.data());
    CHECK(std::abs(sums.loss() - loss) <= tolerance * loss);
    CHECK(sums.correct == right);
    CHECK(sums.count == rows);
    CHECK(sums.weight_sum == rows);
    CHECK(difference(dx.read(), want, tolerance, tolerance / rows) == "");
    CHECK(same(dev, dx.read()));
    CHECK(same_loss(dev, std::vector<double>{sums.loss_sum}));
    const LossSums at_evaluation = loss_of<T>(dev, from, t, nullptr);
    CHECK(at_evaluation.loss_sum == sums.loss_sum);
    CHECK(at_evaluation.correct == right);
    const LossSums of_sum = loss_of(dev, from, t, dx_of_sum.data(), Reduction::sum);
    CHECK((of_sum.loss_sum == sums.loss_sum && of_sum.weight_sum == sums.weight_sum && of_sum.correct == right));
    CHECK(difference(dx_of_sum.read(), want_of_sum, tolerance, tolerance) == "");
    CHECK(loss_of(dev, in_place, t, in_place.data()).loss_sum == sums.loss_sum);
    CHECK(same(dev, in_place.read()));
    CHECK((dx.intact() && dx_of_sum.intact() && in_place.intact()));
  });
}

}  // namespace

TEMPLATE_TEST_CASE("binary_cross_entropy agrees with its definition", "", float, double) {
  using T = TestType;
  // On Cuda one block takes up to 8192 values.
  for (const std::size_t n : {1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 1000, 4097, 8192, 8193, 20001}) {
    agrees(numbers<T>(n, 1, -4, 4), numbers<T>(n, 2, 0, 1), n % 3);
    auto hard = numbers<T>(n, 3, 0, 1);
    for (T& t : hard) t = t > T(0.5);
    agrees(numbers<T>(n, 4, -4, 4), hard);
  }
}

TEMPLATE_TEST_CASE("binary_cross_entropy is safe at logits of 1e4, and exact where it is nearly 0", "", float, double) {
  using T = TestType;
  agrees<T>({T(1e4), T(-1e4), T(1e4), T(-1e4), 88, -88, 0, 20, -20}, {1, 0, 0, 1, 1, 0, 1, 1, 0});
  agrees<T>({20, -20, 25, -25, 20, -20, 25, -25, 30}, {1, 0, 1, 0, 1, 0, 1, 0, 1});  // each loss is about 1e-9
}

TEST_CASE("binary_cross_entropy's gradient is that of its loss") {
  Device dev = device<Device>();
  const std::vector<double> x{1, -2, 0.5, 3};
  Memory<double> from(x), target(std::vector<double>{0, 1, 0.5, 0.9}), dx(x.size());
  loss_of<double, 2>(dev, from, target, dx.data());
  check_gradient(dx.read(), x, 1e-9, [&](const auto& at) {
    Memory<double> moved(at);
    return loss_of<double, 2>(dev, moved, target, nullptr).loss();
  });
}
