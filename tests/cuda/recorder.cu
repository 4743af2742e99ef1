// The parts of a recorded step besides layers: when it stops, how it clips, its state afterwards.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/recorder.cuh"

#include "cuda/support.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

struct Outcome {
  StepState step_state;
  LossSums sums;
  std::uint32_t stopped_at;
};

const kernels::RecordingKey key{nullptr, 5};

// Runs two steps of 5 samples, `together` per launch. Each batch has this gradient and these sums. With `micro`, each
// step has two micro-batches of 5.
Outcome two_steps(const std::vector<float>& gradient, const LossSums& batch_sums, double lr, double clip, int together,
                  bool micro = false) {
  OnDevice<float> g(gradient);
  kernels::CudaBuffer<StepState> step(1);
  kernels::CudaBuffer<LossSums> sums(1);
  kernels::CudaRecorder r(cuda());
  const std::uint64_t samples = micro ? 10 : 5;
  record(cuda(), r, key, together, [&] {
    for (int i = 0; micro && i < 2; ++i) add_micro_batch(cuda(), r, step.data(), sums.data(), 5);
    check_and_clip(cuda(), r, step.data(), sums.data(), g.const_span(), clip, 1e3, micro, samples);
    next_step(cuda(), r, step.data(), sums.data(), samples, micro);
  });
  StepState state;
  state.first_sample = 100, state.step = 7, state.epoch = 3, state.learning_rate = lr;
  upload(cuda(), static_cast<const StepState*>(&state), step.data(), 1);
  upload(cuda(), &batch_sums, sums.data(), 1);
  r.host = {};
  r.host.first_step = 7;
  r.host.learning_rates[1] = lr / 2, r.host.learning_rates[2] = lr / 4;
  begin(cuda(), r);
  for (int i = 0; i < 2 / together; ++i) replay(cuda(), r, key, together);
  finish(cuda(), r);
  download(cuda(), static_cast<const StepState*>(step.data()), &state, 1);
  return {state, r.host.sums, r.host.stopped_at};
}

const LossSums usual{10, 5, 2, 5};

}  // namespace

TEST_CASE("cuda: recorded steps move on, add their sums and take the rates in turn") {
  for (const int together : {1, 2}) {
    const Outcome o = two_steps({3, 4}, usual, 0.1, 0, together);
    CHECK(o.step_state.stopped == 0);
    CHECK(o.step_state.step == 9);
    CHECK(o.step_state.first_sample == 110);
    CHECK(o.step_state.epoch == 3);
    CHECK(o.step_state.learning_rate == 0.1 / 4);
    CHECK(o.step_state.gradient_scale == 1);
    CHECK(o.sums.loss_sum == 20);
    CHECK(o.sums.weight_sum == 10);
    CHECK(o.sums.correct == 4);
    CHECK(o.sums.count == 10);
  }
}

TEST_CASE("cuda: recorded steps clip by the global norm") {
  CHECK(two_steps({3, 4}, usual, 0.1, 2.5, 1).step_state.gradient_scale == 0.5);
  CHECK(two_steps({3, 4}, usual, 0.1, 5, 1).step_state.gradient_scale == 1);
  CHECK(two_steps({3e20f, 4e20f}, usual, 1e-3, 5, 1).step_state.gradient_scale == Approx(1e-20));
  CHECK(two_steps(std::vector<float>(4900, 1), usual, 0.1, 35, 1).step_state.gradient_scale == 0.5);  // several blocks
}

TEST_CASE("cuda: recorded micro-batches are divided by their total weight, and their samples are counted once") {
  const Outcome o = two_steps({3, 4}, usual, 0.1, 0, 1, true);
  CHECK(o.step_state.step == 9);
  CHECK(o.step_state.first_sample == 120);
  CHECK(o.step_state.gradient_scale == 0.1);
  CHECK(o.sums.loss_sum == 40);
  CHECK(o.sums.weight_sum == 20);
  CHECK(two_steps({30, 40}, usual, 0.1, 2.5, 1, true).step_state.gradient_scale == 0.05);  // the norm is 50 / 10
}

TEST_CASE("cuda: recorded steps stop before anything is lost") {
  const auto stopped = [](const std::vector<float>& gradient, const LossSums& sums, double lr, double clip) {
    const Outcome o = two_steps(gradient, sums, lr, clip, 2);
    CHECK(o.step_state.step == 7);
    CHECK(o.stopped_at == 7);
    CHECK(o.step_state.first_sample == 100);
    CHECK(o.sums.count == 0);
    return o.step_state.stopped;
  };
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(stopped({3, infinity}, usual, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({nan, 4}, usual, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3, 4}, {double(nan), 5, 2, 5}, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3, 4}, {double(infinity), 5, 2, 5}, 0.1, 0) == kernels::cuda::stopped_not_finite);
  CHECK(stopped({3e4f, 4e4f}, usual, 0.1, 0) == kernels::cuda::stopped_unusual);
  CHECK(stopped({3, 4}, usual, 1e4, 0) == kernels::cuda::stopped_unusual);
  CHECK(two_steps({3e4f, 4e4f}, usual, 0.1, 1, 2).step_state.stopped == 0);  // after clipping the update is not unusual
}

TEST_CASE("cuda: what was not recorded cannot be replayed, and a recording that fails leaves the stream usable") {
  kernels::CudaRecorder r(cuda());
  CHECK_THROWS_WITH(replay(cuda(), r, key, 2), "[cuda] expected steps that were recorded, got 2 of 5 samples");
  for (const int measured : {0, 1}) {  // the body fails before the recording, or during it
    int calls = 0;
    const auto body = [&] {
      if (++calls > measured) throw Error("test", "no");
    };
    CHECK_THROWS_WITH(record(cuda(), r, key, 1, body), "[test] no");
    CHECK(calls == measured + 1);
  }
  CHECK(r.graphs.empty());
  OnDevice<float> x(std::vector<float>{1, 2});
  CHECK(sum_of_squares(cuda(), x.const_span()) == 5);
}
