// tests/kernels/sgd.hpp on Cuda; to the bit against the CPU's vectors; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/sgd.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;
#include "kernels/sgd.hpp"

TEST_CASE("cuda: sgd_update rounds as the CPU's vectors") {
  if (detect_isa() != Isa::avx2) return;
  Cpu cpu;
  for (const SgdStep& s : kinds) {
    INFO("momentum " << s.momentum << ", nesterov " << s.nesterov);
    const std::size_t n = 1027;
    auto want = numbers<float>(n, 1), velocity = numbers<float>(n, 3);
    const auto g0 = numbers<float>(n, 2);
    OnDevice<float> w(want), g(g0), u(velocity);
    sgd_update(cpu, s, Span<float>{want.data(), n}, {g0.data(), n}, Span<float>{velocity.data(), n});
    step_of(cuda(), s, w, g, u);
    CHECK(w.read() == want);
    CHECK(u.read() == velocity);
  }
}

TEST_CASE("cuda: sgd of a recorded step takes rate and scale from the cursor, and stops with it") {
  for (SgdStep s : kinds)
    for (const int stopped : {0, 1, 2}) {
      const std::size_t n = 1029;
      INFO("momentum " << s.momentum << ", stopped " << stopped);
      const auto w0 = numbers<float>(n, 1), u0 = numbers<float>(n, 3);
      OnDevice<float> w(w0), g(numbers<float>(n, 2)), u(u0), want_w(w0), want_u(u0);
      step_of(cuda(), s, want_w, g, want_u);
      const Recorded step({0, 7, 0, s.learning_rate, s.grad_scale, stopped, 0});
      s.learning_rate = 1e9;
      s.grad_scale = -3;
      step_of(cuda(), s, w, g, u);
      CHECK(w.read() == (stopped ? w0 : want_w.read()));
      CHECK(u.read() == (stopped ? u0 : want_u.read()));
      CHECK((w.intact() && u.intact()));
    }
}
