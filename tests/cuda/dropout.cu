// tests/kernels/dropout.hpp on Cuda; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/dropout.cuh"

#include "cuda/support.hpp"
#include "tenon/cuda/recorder.cuh"

using Device = tenon::Cuda;
#include "kernels/dropout.hpp"

TEST_CASE("cuda: a recorded dropout reads seed, step and position of the step that it is replayed in") {
  constexpr int n = 50;
  const std::vector<float> ones(8 * n, 1);
  OnDevice<float> x(ones), y(ones.size()), dx(ones.size());
  One<StepState> step(cuda());
  const auto graph = capture(cuda(), [&] {
    dropout_forward(cuda(), step, layer, In<float, Batch, n>(x.data(), 8), 1, 2, Out<float, Batch, n>(y.data(), 8));
    dropout_backward(cuda(), step, layer, In<float, Batch, n>(x.data(), 8), 1, 2, Into<float, Batch, n>(dx.data(), 8));
  });
  random::Key later = key;
  later.step = 1234;
  later.seed += 9;
  for (const auto& [k, first] : {std::pair(key, std::uint64_t{96}), std::pair(later, std::uint64_t{6000000000})}) {
    step.write(state_of(k, first));
    replay(cuda(), graph);
    CHECK(y.read() == dropped(k, first, n, ones, 1, 2));
    CHECK(dx.read() == y.read());
  }
}
