// Adam and AdamW: many steps against the reference, decay and gradient scale included; every length around a vector, a
// piece of 16 bytes and a block, aligned and not. (On which device: devices.hpp.)
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/adam.hpp"

namespace {

constexpr std::size_t lengths[] = {1, 3, 4, 5, 7, 8, 9, 33, 1000, 1023, 1024, 1025, many<Device>(50000, 3001)};

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
void step_of(Device& dev, const AdamStep& s, Memory<T>& w, Memory<T>& g, Memory<T>& m, Memory<T>& v) {
  adam_update(dev, s, w.span(), {g.data(), g.size()}, m.span(), v.span());
}

}  // namespace

TEMPLATE_TEST_CASE("adam_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 4e-6 : 1e-13;
  for (AdamStep s : kinds())
    for (const std::size_t n : lengths)
      for (const std::size_t offset : {0u, 1u}) {
        INFO("n " << n << ", decay " << s.weight_decay << ", decoupled " << s.decoupled << ", offset " << offset);
        const auto w0 = numbers<T>(n, 1);
        auto want = widen(w0);
        std::vector<double> want_m(n), want_v(n);
        std::vector<std::vector<T>> gradients;
        for (s.step = 1; s.step <= 5; ++s.step) {
          gradients.push_back(numbers<T>(n, static_cast<std::uint32_t>(10 + s.step)));
          for (std::size_t i = 0; i < n; ++i) kernels::ref::adam(s, want[i], gradients.back()[i], want_m[i], want_v[i]);
        }
        SameBitsOn<Device> same;
        Ways<Device>::each([&](Device& dev) {
          Memory<T> w(w0), m(n, 0, offset), v(n, 0);
          s.step = 1;
          for (const auto& gradient : gradients) {
            Memory<T> g(gradient);
            step_of(dev, s, w, g, m, v);
            ++s.step;
          }
          CHECK(difference(w.read(), want, tolerance, tolerance) == "");
          CHECK(difference(m.read(), want_m, tolerance, tolerance) == "");
          CHECK(difference(v.read(), want_v, tolerance, tolerance) == "");
          CHECK(same(dev, joined(w.read(), m.read(), v.read())));
          CHECK((w.intact() && m.intact() && v.intact()));
        });
      }
}

TEST_CASE("adam's bias corrections hold at the millionth step") {
  const AdamStep s{1e-3, 0.9, 0.999, 1e-8, 0, false, 1, 1000000};
  double want = 1, want_m = 0.5, want_v = 0.25;
  kernels::ref::adam(s, want, 0.5, want_m, want_v);
  Ways<Device>::each([&](Device& dev) {
    Memory<float> w(1, 1), g(1, 0.5f), m(1, 0.5f), v(1, 0.25f);
    step_of(dev, s, w, g, m, v);
    CHECK_THAT(w.read()[0], WithinAbs(want, 1e-7));
  });
}

TEST_CASE("a parameter whose gradient has always been 0 stays, decay aside") {
  Ways<Device>::each([&](Device& dev) {
    Memory<float> w(9, 2), g(9, 0), m(9, 0), v(9, 0);
    AdamStep s;
    step_of(dev, s, w, g, m, v);
    CHECK(w.read() == std::vector<float>(9, 2));
    s.weight_decay = 0.5;
    s.decoupled = true;
    s.learning_rate = 0.5;
    step_of(dev, s, w, g, m, v);
    CHECK(w.read() == std::vector<float>(9, 1.5));
  });
}
