// Binary cross-entropy on logits: loss, gradient, decisions; huge and tiny logits.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/binary_cross_entropy.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/binary_cross_entropy.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T>
void agrees(const std::vector<T>& x, const std::vector<T>& target, double tolerance) {
  const std::size_t n = x.size();
  const int rows = static_cast<int>(n);
  INFO("elements " << n);
  std::vector<double> want(n);
  const double loss = kernels::ref::binary_cross_entropy(widen(x).data(), widen(target).data(), n, want.data());
  std::int64_t right = 0;
  for (std::size_t i = 0; i < n; ++i) right += (x[i] > 0) == (target[i] > T(0.5));
  SameBits same, same_dx;
  for_each_cpu([&](Cpu& dev) {
    Guarded<T> dx(n), in_place(x);
    LossSums sums, at_evaluation;
    binary_cross_entropy(dev, In<T, Batch, 1>(x.data(), rows), target.data(), Out<T, Batch, 1>(dx.data(), rows), &sums);
    CHECK(std::abs(sums.loss() - loss) <= tolerance * loss);
    CHECK(sums.correct == right);
    CHECK(sums.count == rows);
    CHECK(sums.weight_sum == rows);
    CHECK(difference(dx, want, tolerance, tolerance / rows) == "");
    CHECK(same(dev, sums.loss_sum));
    CHECK(same_dx(dev, dx));
    binary_cross_entropy(dev, In<T, Batch, 1>(x.data(), rows), target.data(), Out<T, Batch, 1>(), &at_evaluation);
    CHECK(at_evaluation.loss_sum == sums.loss_sum);
    CHECK(at_evaluation.correct == right);
    binary_cross_entropy(dev, In<T, Batch, 1>(in_place.data(), rows), target.data(),
                         Out<T, Batch, 1>(in_place.data(), rows), &sums);
    CHECK(same_dx(dev, in_place));
    CHECK((dx.intact() && in_place.intact()));
  });
}

}  // namespace

TEMPLATE_TEST_CASE("binary_cross_entropy agrees with its definition", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  for (const std::size_t n : {1, 7, 8, 9, 31, 33, 1000, 20000}) {
    agrees(numbers<T>(n, 1, -4, 4), numbers<T>(n, 2, 0, 1), tolerance);
    auto hard = numbers<T>(n, 3, 0, 1);
    for (T& t : hard) t = t > T(0.5);
    agrees(numbers<T>(n, 4, -4, 4), hard, tolerance);
  }
}

TEMPLATE_TEST_CASE("binary_cross_entropy is safe at logits of 1e4, and exact where it is nearly 0", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  agrees<T>({T(1e4), T(-1e4), T(1e4), T(-1e4), 88, -88, 0, 20, -20}, {1, 0, 0, 1, 1, 0, 1, 1, 0}, tolerance);
  agrees<T>({20, -20, 25, -25, 20, -20, 25, -25, 30}, {1, 0, 1, 0, 1, 0, 1, 0, 1}, tolerance);  // 1e-9 each
}

TEST_CASE("binary_cross_entropy's gradient is that of its loss") {
  std::vector<double> x{1, -2, 0.5, 3};
  const std::vector<double> target{0, 1, 0.5, 0.9};
  Cpu dev;
  std::vector<double> dx(4);
  LossSums sums;
  binary_cross_entropy(dev, In<double, Batch, 2>(x.data(), 2), target.data(), Out<double, Batch, 2>(dx.data(), 2),
                       &sums);
  for (int i = 0; i < 4; ++i) {
    const double at = x[i], h = 1e-5;
    double f[2];
    for (int side = 0; side < 2; ++side) {
      x[i] = at + (side ? h : -h);
      binary_cross_entropy(dev, In<double, Batch, 2>(x.data(), 2), target.data(), Out<double, Batch, 2>(), &sums);
      f[side] = sums.loss();
    }
    x[i] = at;
    CHECK_THAT(dx[i], WithinAbs((f[1] - f[0]) / (2 * h), 1e-9));
  }
}
