// Arguments of kernels: sums that add up, orders, normalisation.
// SPDX-License-Identifier: MIT
#include "tenon/core/arguments.hpp"

#include "catch.hpp"

using namespace tenon;

TEST_CASE("sums of batches add up to those of the whole") {
  const LossSums a{6, 2, 1, 2}, b{3, 4, 2, 4}, whole = a + b;
  CHECK(whole.loss() == 1.5);
  CHECK(whole.accuracy() == 0.5);
  CHECK((whole.correct == 3 && whole.count == 6));
}

TEST_CASE("sequential order is the identity, a shuffle is not") {
  const Order order = Order::sequential(), shuffled = Order::shuffle(1000, {1, random::Use::shuffle, 0, 0});
  int same = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    CHECK(order(i) == i);
    CHECK(shuffled(i) < 1000);
    same += shuffled(i) == i;
  }
  CHECK(same < 20);
}

TEST_CASE("normalisation takes the mean to 0 and a deviation to 1") {
  const double mean[2] = {0.25, 0.5}, deviation[2] = {0.5, 0.125};
  const auto n = Normalisation<double>::from(mean, deviation, 2);
  for (int c = 0; c < 2; ++c) {
    CHECK_THAT(255 * mean[c] * n.scale[c] + n.offset[c], WithinAbs(0, 1e-15));
    CHECK_THAT(255 * (mean[c] + deviation[c]) * n.scale[c] + n.offset[c], WithinAbs(1, 1e-15));
  }
  const Normalisation<double> plain;
  CHECK_THAT(255 * plain.scale[3] + plain.offset[3], WithinAbs(1, 1e-15));
}
