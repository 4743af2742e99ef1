// Schedules against their definitions, and one-cycle against the values of PyTorch's OneCycleLR.
#include <tenon/optimizers/schedule.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "catch.hpp"

using namespace tenon;

TEST_CASE("schedule: constant and warm-up") {
  const Schedule s = Schedule::constant(4);
  CHECK(s.at(0) == 0.25);
  CHECK(s.at(3) == 1);
  CHECK(s.at(1000) == 1);
  CHECK(Schedule::constant().at(0) == 1);
}

TEST_CASE("schedule: step decay") {
  const Schedule s = Schedule::step_decay(10, 0.5);
  CHECK(s.at(9) == 1);
  CHECK(s.at(10) == 0.5);
  CHECK(s.at(29) == 0.25);
}

TEST_CASE("schedule: cosine goes from 1 to its floor, half-way in the middle") {
  const Schedule s = Schedule::cosine(100, 0, 0.1);
  CHECK(s.at(0) == 1);
  CHECK(s.at(50) == Approx(0.55));
  CHECK(s.at(100) == Approx(0.1));
  CHECK(s.at(100000) == Approx(0.1));
  CHECK(Schedule::cosine(110, 10).at(10) == 1);
  CHECK(Schedule::cosine(110, 10).at(60) == Approx(0.5));
}

TEST_CASE("schedule: one-cycle") {
  // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=20), steps 0, 1, 5, 10, 19
  const Schedule s = Schedule::one_cycle(20);
  CHECK(s.at(0) == Approx(0.04));
  CHECK(s.at(1) == Approx(0.1316717));
  CHECK(s.at(5) == Approx(1.0));
  CHECK(s.at(10) == Approx(0.7169430));
  CHECK(s.at(19) == Approx(4e-6));
  CHECK(s.at(500) == Approx(4e-6));
  for (int t = 1; t <= 5; ++t) CHECK(s.at(t) > s.at(t - 1));
  for (int t = 6; t < 20; ++t) CHECK(s.at(t) < s.at(t - 1));
}

TEST_CASE("schedule: never NaN, however short the training") {
  for (int steps = 2; steps < 8; ++steps)
    for (const Schedule& s : {Schedule::cosine(steps - 1), Schedule::one_cycle(steps), Schedule::cosine(steps + 2, 3),
                              Schedule::one_cycle(steps + 3, 3)})
      for (int t = 0; t < 12; ++t) {
        CHECK(std::isfinite(s.at(t)));
        CHECK(s.at(t) >= 0);
        CHECK(s.at(t) <= 1);
      }
}

TEST_CASE("schedule: a decay of many steps takes no longer, and numbers that overflow are refused") {
  CHECK(Schedule::step_decay(1, 0.99999).at(1000000000) == Approx(0).margin(1e-300));
  CHECK(Schedule::step_decay(1, 1.0).at(1000000000000) == 1);
  CHECK(Schedule::step_decay(1, 0.9999).at(4097) == Approx(0.66381).epsilon(1e-4));
  CHECK_THROWS_AS(Schedule::cosine(std::numeric_limits<std::int64_t>::min(), 1), Error);
}
