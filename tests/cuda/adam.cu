// Adam and AdamW: many steps against the reference, to the bit against the CPU's vectors; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/adam.cuh"

#include "cuda/recorded.hpp"
#include "tenon/ref/adam.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr std::size_t lengths[] = {1, 3, 4, 5, 33, 1023, 1024, 1025, 3001};

std::vector<AdamStep> kinds() {
  AdamStep plain, decayed, decoupled;
  decayed.weight_decay = 0.1;
  decayed.grad_scale = 0.5;
  decoupled.weight_decay = 0.1;
  decoupled.decoupled = true;
  decoupled.learning_rate = 0.02;
  decoupled.beta1 = 0.8;
  decoupled.beta2 = 0.95;
  return {plain, decayed, decoupled};
}

template <class T>
void step_of(const AdamStep& s, OnDevice<T>& w, OnDevice<T>& g, OnDevice<T>& m, OnDevice<T>& v) {
  adam_update(cuda(), s, w.span(), g.const_span(), m.span(), v.span());
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: adam_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 4e-6 : 1e-13;
  for (AdamStep s : kinds())
    for (const std::size_t n : lengths)
      for (const std::size_t offset : {0u, 1u}) {
        INFO("n " << n << ", decay " << s.weight_decay << ", decoupled " << s.decoupled << ", offset " << offset);
        const auto w0 = numbers<T>(n, 1);
        auto want = widen(w0);
        std::vector<double> want_m(n), want_v(n);
        OnDevice<T> w(w0), m(n, 0, offset), v(n, 0);
        for (s.step = 1; s.step <= 5; ++s.step) {
          const auto g = numbers<T>(n, static_cast<std::uint32_t>(10 + s.step));
          for (std::size_t i = 0; i < n; ++i) kernels::ref::adam(s, want[i], g[i], want_m[i], want_v[i]);
          OnDevice<T> on_device(g);
          step_of(s, w, on_device, m, v);
        }
        CHECK(difference(w.read(), want, tolerance, tolerance) == "");
        CHECK(difference(m.read(), want_m, tolerance, tolerance) == "");
        CHECK(difference(v.read(), want_v, tolerance, tolerance) == "");
        CHECK((w.intact() && m.intact() && v.intact()));
      }
}

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
    step_of(s, w, g, m, v);
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
        step_of(now, want_w, g, want_m, want_v);
        const Recorded step({0, done, 0, s.learning_rate, s.grad_scale, stopped, 0});
        now.step = 3;
        now.learning_rate = 1e9;
        now.grad_scale = -3;
        CHECK(same_bits_always([&] {
          upload(cuda(), w0.data(), w.data(), n);
          upload(cuda(), m0.data(), m.data(), n);
          upload(cuda(), v0.data(), v.data(), n);
          step_of(now, w, g, m, v);
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

TEST_CASE("cuda: adam's bias corrections hold at the millionth step") {
  const AdamStep s{1e-3, 0.9, 0.999, 1e-8, 0, false, 1, 1000000};
  double want = 1, want_m = 0.5, want_v = 0.25;
  kernels::ref::adam(s, want, 0.5, want_m, want_v);
  OnDevice<float> w(std::size_t{1}, 1), g(std::size_t{1}, 0.5f), m(std::size_t{1}, 0.5f), v(std::size_t{1}, 0.25f);
  step_of(s, w, g, m, v);
  CHECK_THAT(w.read()[0], WithinAbs(want, 1e-7));
}

TEST_CASE("cuda: a parameter whose gradient has always been 0 stays, decay aside") {
  OnDevice<float> w(std::size_t{9}, 2), g(std::size_t{9}, 0), m(std::size_t{9}, 0), v(std::size_t{9}, 0);
  AdamStep s;
  step_of(s, w, g, m, v);
  CHECK(w.read() == std::vector<float>(9, 2));
  s.weight_decay = 0.5;
  s.decoupled = true;
  s.learning_rate = 0.5;
  step_of(s, w, g, m, v);
  CHECK(w.read() == std::vector<float>(9, 1.5));
}
