// Share: the floor divided by the kernel's time, as the counter `of_floor` of its benchmark (1 is the floor itself). It
// uses this thread's CPU time, as the memory floor does.
// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include "kernels/floor.hpp"

namespace tenon::bench {

/// const Share share; for (auto _ : state) ...; share.report(state, seconds of an iteration at the floor);
class Share {
 public:
  void report(benchmark::State& state, double floor_seconds) const {
    state.counters["of_floor"] = floor_seconds * static_cast<double>(state.iterations()) / (thread_seconds() - start_);
  }

 private:
  double start_ = thread_seconds();
};

}  // namespace tenon::bench
