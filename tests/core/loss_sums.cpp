// Sums of a loss: they add up, and there is no accuracy if no samples were counted.
// SPDX-License-Identifier: MIT
#include "tenon/core/loss_sums.hpp"

#include "catch.hpp"

using namespace tenon;

TEST_CASE("sums of batches add up to those of the whole") {
  const LossSums a{6, 2, 1, 2}, b{3, 4, 2, 4}, whole = a + b;
  CHECK(whole.loss() == 1.5);
  CHECK(whole.accuracy() == 0.5);
  CHECK((whole.correct == 3 && whole.count == 6));
}

TEST_CASE("a loss that counts no decisions has no accuracy") {
  const LossSums with{6, 2, 0, 2}, without{6, 2, 0, 0};
  CHECK((with.has_accuracy() && with.accuracy() == 0));
  CHECK_FALSE(without.has_accuracy());
  CHECK_THROWS_AS(without.accuracy(), Error);
}
