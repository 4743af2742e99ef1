// Mean squared error: exact for whole numbers, else near the reference; one block and several.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/mean_squared_error.cuh"

#include "cuda/recorded.hpp"
#include "tenon/losses/mean_squared_error.hpp"
#include "tenon/ref/mean_squared_error.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr int N = 3;

template <class T>
LossSums loss_of(OnDevice<T>& y, OnDevice<T>& target, T* dy) {
  const int rows = static_cast<int>(y.size() / N);
  return MeanSquaredError<T>{}(cuda(), In<T, Batch, N>(y.data(), rows), target.data(), Out<T, Batch, N>(dy, rows));
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: mean_squared_error agrees with the reference", "", float, double) {
  using T = TestType;
  for (const int rows : {1, 3, 11, 2730, 2731, 7001})
    for (const Kind kind : {Kind::whole, Kind::real})
      for (const std::size_t offset : {0u, 1u}) {
        const std::size_t n = static_cast<std::size_t>(rows) * N;
        const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
        INFO("elements " << n << ", whole " << (kind == Kind::whole) << ", offset " << offset);
        const auto y = values<T>(kind, n, 1), target = values<T>(kind, n, 2);
        std::vector<double> want(n);
        const double loss = kernels::ref::mean_squared_error(widen(y).data(), widen(target).data(), n, want.data());
        OnDevice<T> on_device(y), t(target), dy(n, -77, offset), in_place(y, offset);
        LossSums sums;
        CHECK(same_bits_always([&] {
          sums = loss_of(on_device, t, dy.data());
          auto all = widen(dy.read());
          all.push_back(sums.loss_sum);
          return all;
        }));
        if (kind == Kind::whole) CHECK(sums.loss() == loss);  // the sum is exact
        CHECK(std::abs(sums.loss() - loss) <= tolerance * loss);
        CHECK(sums.weight_sum == static_cast<double>(n));
        CHECK(sums.count == rows);
        CHECK(sums.correct == 0);
        CHECK(difference(dy.read(), want, tolerance, tolerance / static_cast<double>(n)) == "");
        CHECK(loss_of<T>(on_device, t, nullptr).loss_sum == sums.loss_sum);
        loss_of(in_place, t, in_place.data());
        CHECK(in_place.read() == dy.read());
        CHECK((dy.intact() && in_place.intact()));
      }
}

TEST_CASE("cuda: a block of mean_squared_error goes round when there are too many values") {
  const std::size_t n = 1024 * 1024 + 5;  // one more round than blocks
  OnDevice<float> y(std::vector<float>(n, 2)), t(std::vector<float>(n, 1)), dy(n);
  REQUIRE(n % N == 0);
  const LossSums sums = loss_of(y, t, dy.data());
  CHECK(sums.loss_sum == static_cast<double>(n));
  CHECK(dy.read() == std::vector<float>(n, static_cast<float>(2.0 / static_cast<double>(n))));
  CHECK(dy.intact());
}

TEST_CASE("cuda: a recorded step leaves its squared error on the device") {
  for (const std::size_t n : {9u, 9000u}) {
    auto numbers_ = integers<float>(n, 1);
    OnDevice<float> y(numbers_), target(integers<float>(n, 2));
    numbers_[n - 1] = INFINITY;
    OnDevice<float> bad(numbers_);
    const LossSums one = loss_of<float>(y, target, nullptr);
    const Recorded step({0, 6, 0, 0.1, 1, 0, 0}, {1, 2, 3, 4});
    loss_of<float>(y, target, nullptr);
    const LossSums sums = step.sums();
    CHECK(sums.loss_sum == one.loss_sum);
    CHECK(sums.weight_sum == one.weight_sum);
    CHECK(sums.correct == one.correct);
    CHECK(sums.count == one.count);
    loss_of<float>(bad, target, nullptr);
    CHECK_FALSE(std::isfinite(step.sums().loss_sum));
  }
}
