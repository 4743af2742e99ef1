// Sgd: many steps against the reference, with and without momentum, Nesterov, decay and gradient scale.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/sgd.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/sgd.hpp"

using namespace tenon;
using namespace tenon::tests;

TEMPLATE_TEST_CASE("sgd_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  const SgdStep kinds[] = {
      {0.1, 0, false, 0, 1}, {0.1, 0.9, false, 0, 1}, {0.05, 0.9, true, 0.01, 0.25}, {0.05, 0, false, 0.01, 2}};
  for (const SgdStep& s : kinds)
    for (const std::size_t n : {1, 7, 8, 9, 33, 1000, 50000}) {
      INFO("n " << n << ", momentum " << s.momentum << ", nesterov " << s.nesterov);
      const auto w0 = numbers<T>(n, 1), g = numbers<T>(n, 2);
      auto want = widen(w0);
      std::vector<double> velocity(n);
      for (int step = 0; step < 3; ++step)
        for (std::size_t i = 0; i < n; ++i) kernels::ref::sgd(s, want[i], g[i], velocity[i]);
      SameBits same;
      for_each_cpu([&](Cpu& dev) {
        Guarded<T> w(w0), u(n, 0);
        const Span<T> state = s.momentum != 0 ? Span<T>{u.data(), n} : Span<T>{};
        for (int step = 0; step < 3; ++step) sgd_update(dev, s, Span<T>{w.data(), n}, {g.data(), n}, state);
        CHECK(difference(w, want, tolerance, tolerance) == "");
        if (s.momentum != 0) CHECK(difference(u, velocity, tolerance, tolerance) == "");
        CHECK(same(dev, w));
        CHECK((w.intact() && u.intact()));
      });
    }
}
