// Adam and AdamW: many steps against the reference, decay and gradient scale included.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/adam.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/adam.hpp"

using namespace tenon;
using namespace tenon::tests;

TEMPLATE_TEST_CASE("adam_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 4e-6 : 1e-13;
  AdamStep plain, decayed, decoupled;
  decayed.weight_decay = 0.1;
  decayed.grad_scale = 0.5;
  decoupled.weight_decay = 0.1;
  decoupled.decoupled = true;
  decoupled.learning_rate = 0.02;
  decoupled.beta1 = 0.8;
  decoupled.beta2 = 0.95;
  for (AdamStep s : {plain, decayed, decoupled})
    for (const std::size_t n : {1, 7, 8, 9, 33, 1000, 50000}) {
      INFO("n " << n << ", decay " << s.weight_decay << ", decoupled " << s.decoupled);
      const auto w0 = numbers<T>(n, 1);
      auto want = widen(w0);
      std::vector<double> want_m(n), want_v(n);
      for (s.step = 1; s.step <= 5; ++s.step) {
        const auto g = numbers<T>(n, static_cast<std::uint32_t>(10 + s.step));
        for (std::size_t i = 0; i < n; ++i) kernels::ref::adam(s, want[i], g[i], want_m[i], want_v[i]);
      }
      SameBits same;
      for_each_cpu([&](Cpu& dev) {
        Guarded<T> w(w0), m(n, 0), v(n, 0);
        for (s.step = 1; s.step <= 5; ++s.step) {
          const auto g = numbers<T>(n, static_cast<std::uint32_t>(10 + s.step));
          adam_update(dev, s, Span<T>{w.data(), n}, {g.data(), n}, Span<T>{m.data(), n}, Span<T>{v.data(), n});
        }
        CHECK(difference(w, want, tolerance, tolerance) == "");
        CHECK(difference(m, want_m, tolerance, tolerance) == "");
        CHECK(difference(v, want_v, tolerance, tolerance) == "");
        CHECK(same(dev, w));
        CHECK((w.intact() && m.intact() && v.intact()));
      });
    }
}

TEST_CASE("adam's bias corrections hold at the millionth step") {
  const AdamStep s{1e-3, 0.9, 0.999, 1e-8, 0, false, 1, 1000000};
  double w = 1, m = 0.5, v = 0.25;
  kernels::ref::adam(s, w, 0.5, m, v);
  for_each_cpu([&](Cpu& dev) {
    float fw = 1, fg = 0.5f, fm = 0.5f, fv = 0.25f;
    adam_update(dev, s, Span<float>{&fw, 1}, {&fg, 1}, Span<float>{&fm, 1}, Span<float>{&fv, 1});
    CHECK_THAT(fw, WithinAbs(w, 1e-7));
  });
}

TEST_CASE("a parameter whose gradient has always been 0 stays, decay aside") {
  for_each_cpu([&](Cpu& dev) {
    std::vector<float> w(9, 2), g(9), m(9), v(9);
    AdamStep s;
    adam_update(dev, s, Span<float>{w.data(), 9}, {g.data(), 9}, Span<float>{m.data(), 9}, Span<float>{v.data(), 9});
    CHECK(w == std::vector<float>(9, 2));
    s.weight_decay = 0.5;
    s.decoupled = true;
    s.learning_rate = 0.5;
    adam_update(dev, s, Span<float>{w.data(), 9}, {g.data(), 9}, Span<float>{m.data(), 9}, Span<float>{v.data(), 9});
    CHECK(w == std::vector<float>(9, 1.5));
  });
}
