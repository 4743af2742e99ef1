// Binary cross-entropy on logits: loss, gradient, decisions; huge and tiny logits; one block and several.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/binary_cross_entropy.cuh"

#include "cuda/recorded.hpp"
#include "tenon/losses/binary_cross_entropy.hpp"
#include "tenon/ref/binary_cross_entropy.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T>
LossSums loss_of(OnDevice<T>& x, OnDevice<T>& target, T* dx) {
  const int n = static_cast<int>(x.size());
  return BinaryCrossEntropy<T>{}(cuda(), In<T, Batch, 1>(x.data(), n), target.data(), Out<T, Batch, 1>(dx, n));
}

template <class T>
void agrees(const std::vector<T>& x, const std::vector<T>& target, double tolerance, std::size_t offset = 0) {
  const std::size_t n = x.size();
  const int rows = static_cast<int>(n);
  INFO("elements " << n << ", offset " << offset);
  std::vector<double> want(n);
  const double loss = kernels::ref::binary_cross_entropy(widen(x).data(), widen(target).data(), n, want.data());
  std::int64_t right = 0;
  for (std::size_t i = 0; i < n; ++i) right += (x[i] > 0) == (target[i] > T(0.5));
  OnDevice<T> on_device(x, offset), t(target), dx(n), in_place(x);
  LossSums sums;
  CHECK(same_bits_always([&] {
    sums = loss_of(on_device, t, dx.data());
    auto all = widen(dx.read());
    all.push_back(sums.loss_sum);
    return all;
  }));
  CHECK(std::abs(sums.loss() - loss) <= tolerance * loss);
  CHECK(sums.correct == right);
  CHECK(sums.count == rows);
  CHECK(sums.weight_sum == rows);
  CHECK(difference(dx.read(), want, tolerance, tolerance / rows) == "");
  const LossSums at_evaluation = loss_of<T>(on_device, t, nullptr);
  CHECK(at_evaluation.loss_sum == sums.loss_sum);
  CHECK(at_evaluation.correct == right);
  loss_of(in_place, t, in_place.data());
  CHECK(in_place.read() == dx.read());
  CHECK((dx.intact() && in_place.intact()));
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: binary_cross_entropy agrees with its definition", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  for (const std::size_t n : {1, 2, 3, 4, 5, 33, 1000, 4097, 8192, 8193, 20001}) {
    agrees(numbers<T>(n, 1, -4, 4), numbers<T>(n, 2, 0, 1), tolerance, n % 3);
    auto hard = numbers<T>(n, 3, 0, 1);
    for (T& t : hard) t = t > T(0.5);
    agrees(numbers<T>(n, 4, -4, 4), hard, tolerance);
  }
}

TEMPLATE_TEST_CASE("cuda: binary_cross_entropy is safe at logits of 1e4, and exact where it is nearly 0", "", float,
                   double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  agrees<T>({T(1e4), T(-1e4), T(1e4), T(-1e4), 88, -88, 0, 20, -20}, {1, 0, 0, 1, 1, 0, 1, 1, 0}, tolerance);
  agrees<T>({20, -20, 25, -25, 20, -20, 25, -25, 30}, {1, 0, 1, 0, 1, 0, 1, 0, 1}, tolerance);  // 1e-9 each
}

TEST_CASE("cuda: binary_cross_entropy's gradient is that of its loss") {
  const std::vector<double> x{1, -2, 0.5, 3};
  OnDevice<double> target(std::vector<double>{0, 1, 0.5, 0.9}), on_device(x), dx(x.size());
  loss_of(on_device, target, dx.data());
  check_gradient(dx.read(), x, 1e-9, [&](const auto& at) {
    OnDevice<double> moved(at);
    return loss_of<double>(moved, target, nullptr).loss();
  });
}

TEST_CASE("cuda: a recorded step leaves its binary cross-entropy on the device") {
  for (const std::size_t n : {10u, 9000u}) {
    auto values = numbers<float>(n, 1);
    OnDevice<float> x(values), target(numbers<float>(n, 2, 0, 1));
    values[n / 2] = NAN;
    OnDevice<float> bad(values);
    const LossSums one = loss_of<float>(x, target, nullptr);
    const Recorded step({0, 6, 0, 0.1, 1, 0, 0}, {1, 2, 3, 4});
    loss_of<float>(x, target, nullptr);
    const LossSums sums = step.sums();
    CHECK(sums.loss_sum == one.loss_sum);
    CHECK(sums.weight_sum == one.weight_sum);
    CHECK(sums.correct == one.correct);
    CHECK(sums.count == one.count);
    loss_of<float>(bad, target, nullptr);
    CHECK_FALSE(std::isfinite(step.sums().loss_sum));
  }
}
