// Sgd: many steps against the reference, to the bit against the CPU's vectors; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/sgd.cuh"

#include "cuda/recorded.hpp"
#include "tenon/ref/sgd.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr std::size_t lengths[] = {1, 3, 4, 5, 33, 1023, 1024, 1025, 5003};
const SgdStep kinds[] = {
    {0.1, 0, false, 0, 1}, {0.1, 0.9, false, 0, 1}, {0.05, 0.9, true, 0.01, 0.25}, {0.05, 0, false, 0.01, 2}};

template <class T>
void step_of(const SgdStep& s, OnDevice<T>& w, OnDevice<T>& g, OnDevice<T>& u) {
  sgd_update(cuda(), s, w.span(), g.const_span(), s.momentum != 0 ? u.span() : Span<T>{});
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: sgd_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  for (const SgdStep& s : kinds)
    for (const std::size_t n : lengths)
      for (const std::size_t offset : {0u, 1u}) {
        INFO("n " << n << ", momentum " << s.momentum << ", nesterov " << s.nesterov << ", offset " << offset);
        const auto w0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2);
        auto want = widen(w0);
        std::vector<double> velocity(n);
        for (int step = 0; step < 3; ++step)
          for (std::size_t i = 0; i < n; ++i) kernels::ref::sgd(s, want[i], g0[i], velocity[i]);
        OnDevice<T> w(w0), g(g0, offset), u(n, 0);
        for (int step = 0; step < 3; ++step) step_of(s, w, g, u);
        CHECK(difference(w.read(), want, tolerance, tolerance) == "");
        CHECK(difference(u.read(), velocity, tolerance, s.momentum != 0 ? tolerance : 0) == "");
        CHECK((w.intact() && g.intact() && u.intact()));
        CHECK(g.read() == g0);
      }
}

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
    step_of(s, w, g, u);
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
      step_of(s, want_w, g, want_u);
      const Recorded step({0, 7, 0, s.learning_rate, s.grad_scale, stopped, 0});
      s.learning_rate = 1e9;
      s.grad_scale = -3;
      step_of(s, w, g, u);
      CHECK(w.read() == (stopped ? w0 : want_w.read()));
      CHECK(u.read() == (stopped ? u0 : want_u.read()));
      CHECK((w.intact() && u.intact()));
    }
}
