// Share: how much of a floor a kernel reaches, as the counter `of_floor` of its benchmark (1 would be the floor itself).
// Both sides in this thread's CPU time, so that others who use the machine spoil neither much.
// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>
#include <time.h>

namespace tenon::bench {

/// Made before the loop, told after it: Share share; for (auto _ : state) ...; share.report(state, seconds of the floor).
class Share {
 public:
  void report(benchmark::State& state, double floor_seconds) const {
    state.counters["of_floor"] = floor_seconds * static_cast<double>(state.iterations()) / (now() - start_);
  }

 private:
  static double now() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  }
  double start_ = now();
};

}  // namespace tenon::bench
