// tests/kernels/adam.hpp on Cuda; to the bit against the CPU's vectors; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/adam.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;
#include "kernels/adam.hpp"

TEST_CASE("cuda: adam_update rounds as the CPU's vectors") {
  if (detect_isa() != Isa::avx2) return;
  Cpu cpu;
  for (AdamStep s : kinds()) {
    INFO("decay " << s.weight_decay << ", decoupled " << s.decoupled);
    const std::size_t n = 1027;
    auto want = numbers<float>(n, 1), want_m = numbers<float>(n, 3), want_v = numbers<float>(n, 4, 0, 1);
    const auto g0 = numbers<float>(n, 2);
    s.step = 12;
    OnDevice<float> w(want), g(g0), m(want_m), v(want_v);
    adam_update(cpu, s, Span<float>{want.data(), n}, {g0.data(), n}, Span<float>{want_m.data(), n},
                Span<float>{want_v.data(), n});
    step_of(cuda(), s, w, g, m, v);
    CHECK(w.read() == want);
    CHECK(m.read() == want_m);
    CHECK(v.read() == want_v);
  }
}

TEMPLATE_TEST_CASE("cuda: adam of a recorded step takes rate, scale and step from the cursor, and stops with it", "",
                   float, double) {
  using T = TestType;
  for (AdamStep s : kinds())
    for (const std::uint32_t done : {0u, 1u, 2u, 41u, 999u, 999999u, 4294967295u})
      for (const int stopped : {0, 1}) {
        const std::size_t n = done < 2 ? 2053 : 5;
        INFO("decoupled " << s.decoupled << ", steps before " << done << ", stopped " << stopped);
        const auto w0 = numbers<T>(n, 1), m0 = numbers<T>(n, 2), v0 = numbers<T>(n, 3, 0, 1);
        OnDevice<T> w(w0), g(numbers<T>(n, 4)), m(m0), v(v0), want_w(w0), want_m(m0), want_v(v0);
        AdamStep now = s;
        now.step = static_cast<std::int64_t>(done) + 1;
        step_of(cuda(), now, want_w, g, want_m, want_v);
        const Recorded step({0, done, 0, s.learning_rate, s.grad_scale, stopped, 0});
        now.step = 3;
        now.learning_rate = 1e9;
        now.grad_scale = -3;
        CHECK(same_bits_always([&] {
          upload(cuda(), w0.data(), w.data(), n);
          upload(cuda(), m0.data(), m.data(), n);
          upload(cuda(), v0.data(), v.data(), n);
          step_of(cuda(), now, w, g, m, v);
          return w.read();
        }));
        // The corrections are powers by another algorithm, of which floats see nothing.
        const double allowed = stopped || sizeof(T) == 4 ? 0 : 1e-13;
        CHECK(difference(w.read(), widen(stopped ? w0 : want_w.read()), allowed, allowed) == "");
        CHECK(m.read() == (stopped ? m0 : want_m.read()));
        CHECK(v.read() == (stopped ? v0 : want_v.read()));
        CHECK((w.intact() && m.intact() && v.intact()));
      }
}
