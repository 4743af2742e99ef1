// Sgd: many steps against the reference, with and without momentum, Nesterov, decay and gradient scale; every length
// around a vector, a piece of 16 bytes and a block, aligned and not. (On which device: devices.hpp.)
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/sgd.hpp"

namespace {

constexpr std::size_t lengths[] = {1, 3, 4, 5, 7, 8, 9, 33, 1000, 1023, 1024, 1025, many<Device>(50000, 5003)};
const SgdStep kinds[] = {
    {0.1, 0, false, 0, 1}, {0.1, 0.9, false, 0, 1}, {0.05, 0.9, true, 0.01, 0.25}, {0.05, 0, false, 0.01, 2}};

template <class T>
void step_of(Device& dev, const SgdStep& s, Memory<T>& w, Memory<T>& g, Memory<T>& u) {
  sgd_update(dev, s, w.span(), {g.data(), g.size()}, s.momentum != 0 ? u.span() : Span<T>{});
}

}  // namespace

TEMPLATE_TEST_CASE("sgd_update follows the reference", "", float, double) {
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
        SameBitsOn<Device> same, same_velocity;
        Ways<Device>::each([&](Device& dev) {
          Memory<T> w(w0), g(g0, offset), u(n, 0);
          for (int step = 0; step < 3; ++step) step_of(dev, s, w, g, u);
          CHECK(difference(w.read(), want, tolerance, tolerance) == "");
          CHECK(difference(u.read(), velocity, tolerance, s.momentum != 0 ? tolerance : 0) == "");
          CHECK((same(dev, w.read()) && same_velocity(dev, u.read())));
          CHECK((g.read() == g0));
          CHECK((w.intact() && g.intact() && u.intact()));
        });
      }
}
