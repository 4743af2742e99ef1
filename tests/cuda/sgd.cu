// tests/kernels/sgd.hpp on Cuda; bit for bit against the Cpu's vector code; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/sgd.hpp"
#include "tenon/cuda/sgd.cuh"

#include "cuda/support.hpp"
#include "tenon/cpu/sgd.hpp"
#include "tenon/cuda/recorder.cuh"

using Device = tenon::Cuda;
#include "kernels/sgd.hpp"

TEST_CASE("cuda: sgd_update rounds as the Cpu's vectors") {
  if (detect_isa() != Isa::avx2) return;
  Cpu cpu;
  for (const SgdCase& at : cases) {
    INFO("momentum " << at.options.momentum << ", nesterov " << at.options.nesterov);
    const std::size_t n = 1027;
    auto want = numbers<float>(n, 1), velocity = numbers<float>(n, 3);
    const auto g0 = numbers<float>(n, 2);
    OnDevice<float> w(want), g(g0), u(velocity);
    sgd_update(cpu, at.options, &at.step, Span<float>{want.data(), n}, {g0.data(), n}, Span<float>{velocity.data(), n});
    update(cuda(), at, w, g, u);
    CHECK(w.read() == want);
    CHECK(u.read() == velocity);
  }
}

TEST_CASE("cuda: a recorded sgd_update reads the step that it is replayed in") {
  const std::size_t n = 1029;
  for (SgdCase at : cases) {
    INFO("momentum " << at.options.momentum);
    const auto w0 = numbers<float>(n, 1), u0 = numbers<float>(n, 3);
    OnDevice<float> w(w0), g(numbers<float>(n, 2)), u(u0), want_w(w0), want_u(u0);
    One<StepState> step(cuda());
    const auto graph = capture(cuda(), [&] {
      sgd_update(cuda(), at.options, step, w.span(), g.const_span(),
                 at.options.momentum != 0 ? u.span() : Span<float>{});
    });
    for (const double rate : {0.1, 0.03}) {
      at.step.learning_rate = rate;
      at.step.gradient_scale *= 3;
      update(cuda(), at, want_w, g, want_u);
      step.write(at.step);
      replay(cuda(), graph);
      CHECK(w.read() == want_w.read());
      CHECK(u.read() == want_u.read());
    }
    at.step.stopped = 2;
    step.write(at.step);
    replay(cuda(), graph);
    CHECK(w.read() == want_w.read());
  }
}
