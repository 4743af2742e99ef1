// Sgd: several steps against the reference, with and without momentum, Nesterov, weight decay and gradient scale, for
// every length around a vector, a piece of 16 bytes and a block, aligned and not; a stopped step. Runs on any device
// (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/sgd.hpp"

namespace {

constexpr std::size_t lengths[] = {1, 3, 4, 5, 7, 8, 9, 33, 1000, 1023, 1024, 1025, many<Device>(50000, 5003)};

struct SgdCase {
  kernels::SgdOptions options;
  StepState step;
};
const SgdCase cases[] = {{{0, false, 0}, {0.1, 1}},
                         {{0.9, false, 0}, {0.1, 1}},
                         {{0.9, true, 0.01}, {0.05, 0.25}},
                         {{0, false, 0.01}, {0.05, 2}}};

template <class T>
void update(Device& dev, const SgdCase& at, Memory<T>& w, Memory<T>& g, Memory<T>& u) {
  sgd_update(dev, at.options, One<StepState>(dev, at.step), w.span(), {g.data(), g.size()},
             at.options.momentum != 0 ? u.span() : Span<T>{});
}

}  // namespace

TEMPLATE_TEST_CASE("sgd_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  for (const SgdCase& at : cases)
    for (const std::size_t n : lengths)
      for (const std::size_t offset : {0u, 1u}) {
        INFO("n " << n << ", momentum " << at.options.momentum << ", nesterov " << at.options.nesterov << ", offset "
                  << offset);
        const auto w0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2);
        auto want = widen(w0);
        std::vector<double> velocity(n);
        for (int step = 0; step < 3; ++step)
          for (std::size_t i = 0; i < n; ++i)
            kernels::ref::sgd(at.options, at.step, want[i], static_cast<double>(g0[i]), velocity[i]);
        SameBitsOn<Device> same, same_velocity;
        Ways<Device>::each([&](Device& dev) {
          Memory<T> w(w0), g(g0, offset), u(n, 0);
          for (int step = 0; step < 3; ++step) update(dev, at, w, g, u);
          CHECK(difference(w.read(), want, tolerance, tolerance) == "");
          CHECK(difference(u.read(), velocity, tolerance, at.options.momentum != 0 ? tolerance : 0) == "");
          CHECK((same(dev, w.read()) && same_velocity(dev, u.read())));
          CHECK((g.read() == g0));
          CHECK((w.intact() && g.intact() && u.intact()));
        });
      }
}

TEST_CASE("sgd_update writes nothing where the step is stopped") {
  for (SgdCase at : cases)
    for (const std::uint32_t stopped : {0u, 1u, 2u}) {
      INFO("momentum " << at.options.momentum << ", stopped " << stopped);
      at.step.stopped = stopped;
      const std::size_t n = 1029;
      const auto w0 = numbers<float>(n, 1), u0 = numbers<float>(n, 3);
      Ways<Device>::each([&](Device& dev) {
        Memory<float> w(w0), g(numbers<float>(n, 2)), u(u0);
        update(dev, at, w, g, u);
        CHECK((w.read() == w0) == (stopped != 0));
        CHECK((u.read() == u0) == (stopped != 0 || at.options.momentum == 0));
      });
    }
}

TEMPLATE_TEST_CASE("sgd's velocity holds no denormals", "", float, double) {
  using T = TestType;
  const T least = std::numeric_limits<T>::min();
  const std::vector<T> u0{least, -least, least * 2, -least * 2, least / 2, 0, std::numeric_limits<T>::quiet_NaN(),
                          1,     -1};
  for (const bool nesterov : {false, true}) {
    const SgdCase at{{0.9, nesterov, 0}, {0.1, 1}};
    Ways<Device>::each([&](Device& dev) {
      Memory<T> w(u0.size(), 0), g(u0.size(), 0), u(u0);
      update(dev, at, w, g, u);
      const auto got = u.read(), moved = w.read();
      for (const std::size_t i : {0u, 1u, 4u, 5u}) {
        CHECK(is_plus_zero(got[i]));
        CHECK(moved[i] == 0);  // the update uses the flushed velocity
      }
      CHECK((got[2] > least && got[3] < -least && got[6] != got[6] && got[7] > T(0.8) && got[8] < T(-0.8)));
      CHECK((w.intact() && u.intact()));
    });
  }
}
