// What a recorded step is made of besides layers: when it stops, how it clips, where it stands afterwards.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/recorder.cuh"

#include "cuda/support.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

struct Outcome {
  kernels::CudaCursor cursor;
  LossSums sums;
};

// Two steps of 5 samples, launched `together` at a time, with that gradient and those sums of each batch.
Outcome two_steps(const std::vector<float>& gradient, const LossSums& batch_sums, double lr, double clip,
                  int together) {
  OnDevice<float> g(gradient);
  kernels::CudaRecorder r;
  record(cuda(), r, 5, together, [&] {
    judge(cuda(), r, g.const_span(), clip, 1e3);
    advance(cuda(), r, 5);
  });
  r.host = {};
  r.host.cursor = {100, 7, 3, lr};
  r.host.batch_sums = batch_sums;
  r.host.rates_from = 7;
  r.host.rates[1] = lr / 2, r.host.rates[2] = lr / 4;
  begin(cuda(), r);
  for (int i = 0; i < 2 / together; ++i) replay(cuda(), r, 5, together);
  finish(cuda(), r);
  return {r.host.cursor, r.host.sums};
}

const LossSums usual{10, 5, 2, 5};

}  // namespace

TEST_CASE("cuda: recorded steps move on, add their sums and take the rates in turn") {
  for (const int together : {1, 2}) {
    const Outcome o = two_steps({3, 4}, usual, 0.1, 0, together);
    CHECK(o.cursor.stopped == 0);
    CHECK(o.cursor.step == 9);
    CHECK(o.cursor.first_sample == 110);
    CHECK(o.cursor.epoch == 3);
    CHECK(o.cursor.learning_rate == 0.1 / 4);
    CHECK(o.cursor.grad_scale == 1);
    CHECK(o.sums.loss_sum == 20);
    CHECK(o.sums.weight_sum == 10);
    CHECK(o.sums.correct == 4);
    CHECK(o.sums.count == 10);
  }
}

TEST_CASE("cuda: recorded steps clip by the global norm") {
  CHECK(two_steps({3, 4}, usual, 0.1, 2.5, 1).cursor.grad_scale == 0.5);
  CHECK(two_steps({3, 4}, usual, 0.1, 5, 1).cursor.grad_scale == 1);
  CHECK(two_steps({3e20f, 4e20f}, usual, 1e-3, 5, 1).cursor.grad_scale == Approx(1e-20));
  CHECK(two_steps(std::vector<float>(4900, 1), usual, 0.1, 35, 1).cursor.grad_scale == 0.5);  // of several blocks
}

TEST_CASE("cuda: recorded steps stop before anything is lost") {
  const auto stopped = [](const std::vector<float>& gradient, const LossSums& sums, double lr, double clip) {
    const Outcome o = two_steps(gradient, sums, lr, clip, 2);
    CHECK(o.cursor.step == 7);
    CHECK(o.cursor.stopped_at == 7);
    CHECK(o.cursor.first_sample == 100);
    CHECK(o.sums.count == 0);
    return o.cursor.stopped;
  };
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(stopped({3, infinity}, usual, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({nan, 4}, usual, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3, 4}, {double(nan), 5, 2, 5}, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3, 4}, {double(infinity), 5, 2, 5}, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3, 4}, {0, 0, 2, 5}, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3e4f, 4e4f}, usual, 0.1, 0) == kernels::cuda::stopped_unusual);
  CHECK(stopped({3, 4}, usual, 1e4, 0) == kernels::cuda::stopped_unusual);
  CHECK(two_steps({3e4f, 4e4f}, usual, 0.1, 1, 2).cursor.stopped == 0);  // clipped, it is an ordinary one
}

TEST_CASE("cuda: what was not recorded cannot be replayed, and a recording that fails leaves the stream usable") {
  kernels::CudaRecorder r;
  CHECK_THROWS_WITH(replay(cuda(), r, 5, 2), "[cuda] expected steps that were recorded, got 2 of 5 samples");
  for (const int measured : {0, 1}) {  // before it is recorded, and while it is
    int calls = 0;
    const auto body = [&] {
      if (++calls > measured) throw Error("test", "no");
    };
    CHECK_THROWS_WITH(record(cuda(), r, 5, 1, body), "[test] no");
    CHECK(calls == measured + 1);
  }
  CHECK(cuda().state().cursor == nullptr);
  CHECK(r.graphs.empty());
  OnDevice<float> x(std::vector<float>{1, 2});
  CHECK(sum_of_squares(cuda(), x.const_span()) == 5);
}
