// Adam and AdamW: several steps against the reference, with weight decay and a gradient scale, for every length around
// a vector, a piece of 16 bytes and a block, aligned and not; and the use of the StepState. Runs on any device
// (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/adam.hpp"

namespace {

constexpr std::size_t lengths[] = {1, 3, 4, 5, 7, 8, 9, 33, 1000, 1023, 1024, 1025, many<Device>(50000, 3001)};

struct AdamCase {
  kernels::AdamOptions options;
  StepState step;
};

std::vector<AdamCase> cases() {
  AdamCase plain, decayed, decoupled;
  plain.step.learning_rate = decayed.step.learning_rate = 1e-3;
  decayed.options.weight_decay = 0.1;
  decayed.step.gradient_scale = 0.5;
  decoupled.options = {0.8, 0.95, 1e-8, 0.1, true};
  decoupled.step.learning_rate = 0.02;
  return {plain, decayed, decoupled};
}

template <class T>
void update(Device& dev, const AdamCase& at, Memory<T>& w, Memory<T>& g, Memory<T>& m, Memory<T>& v) {
  adam_update(dev, at.options, One<StepState>(dev, at.step), w.span(), {g.data(), g.size()}, m.span(), v.span());
}

}  // namespace

TEMPLATE_TEST_CASE("adam_update follows the reference", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 4e-6 : 1e-13;
  for (AdamCase at : cases())
    for (const std::size_t n : lengths)
      for (const std::size_t offset : {0u, 1u}) {
        INFO("n " << n << ", decay " << at.options.weight_decay << ", decoupled " << at.options.decoupled << ", offset "
                  << offset);
        const auto w0 = numbers<T>(n, 1);
        auto want = widen(w0);
        std::vector<double> want_m(n), want_v(n);
        std::vector<std::vector<T>> gradients;
        for (at.step.step = 0; at.step.step < 5; ++at.step.step) {
          gradients.push_back(numbers<T>(n, 11 + at.step.step));
          for (std::size_t i = 0; i < n; ++i)
            kernels::ref::adam(at.options, at.step, want[i], static_cast<double>(gradients.back()[i]), want_m[i],
                               want_v[i]);
        }
        SameBitsOn<Device> same;
        Ways<Device>::each([&](Device& dev) {
          Memory<T> w(w0), m(n, 0, offset), v(n, 0);
          at.step.step = 0;
          for (const auto& gradient : gradients) {
            Memory<T> g(gradient);
            update(dev, at, w, g, m, v);
            ++at.step.step;
          }
          CHECK(difference(w.read(), want, tolerance, tolerance) == "");
          CHECK(difference(m.read(), want_m, tolerance, tolerance) == "");
          CHECK(difference(v.read(), want_v, tolerance, tolerance) == "");
          CHECK(same(dev, joined(w.read(), m.read(), v.read())));
          CHECK((w.intact() && m.intact() && v.intact()));
        });
      }
}

TEST_CASE("adam's bias corrections hold at every number of the step") {
  for (const std::uint32_t step : {0u, 1u, 41u, 999u, 999999u, 4294967295u}) {
    INFO("step " << step);
    AdamCase at = cases()[0];
    at.step.step = step;
    double want = 1, want_m = 0.5, want_v = 0.25;
    kernels::ref::adam(at.options, at.step, want, 0.5, want_m, want_v);
    Ways<Device>::each([&](Device& dev) {
      Memory<double> w(1, 1), g(1, 0.5), m(1, 0.5), v(1, 0.25);
      update(dev, at, w, g, m, v);
      CHECK_THAT(w.read()[0], WithinAbs(want, 1e-14));
    });
  }
}

TEST_CASE("a parameter whose gradient has always been 0 stays, decay aside") {
  Ways<Device>::each([&](Device& dev) {
    Memory<float> w(9, 2), g(9, 0), m(9, 0), v(9, 0);
    AdamCase at = cases()[0];
    update(dev, at, w, g, m, v);
    CHECK(w.read() == std::vector<float>(9, 2));
    at.options.weight_decay = 0.5;
    at.options.decoupled = true;
    at.step.learning_rate = 0.5;
    update(dev, at, w, g, m, v);
    CHECK(w.read() == std::vector<float>(9, 1.5));
  });
}

TEST_CASE("adam_update writes nothing where the step is stopped") {
  for (AdamCase at : cases())
    for (const std::uint32_t stopped : {0u, 1u, 2u}) {
      INFO("decoupled " << at.options.decoupled << ", stopped " << stopped);
      at.step.stopped = stopped;
      const std::size_t n = 1029;
      const auto w0 = numbers<float>(n, 1), m0 = numbers<float>(n, 2), v0 = numbers<float>(n, 3, 0, 1);
      Ways<Device>::each([&](Device& dev) {
        Memory<float> w(w0), g(numbers<float>(n, 4)), m(m0), v(v0);
        update(dev, at, w, g, m, v);
        CHECK((w.read() == w0) == (stopped != 0));
        CHECK((m.read() == m0) == (stopped != 0));
        CHECK((v.read() == v0) == (stopped != 0));
      });
    }
}

TEMPLATE_TEST_CASE("adam's buffers hold no denormals", "", float, double) {
  using T = TestType;
  const T least = std::numeric_limits<T>::min();
  // After the decay: below, at and above the smallest normal number, with both signs. NaN and infinity are kept.
  const std::vector<T> m0{least, -least, least * 2, -least * 2, least / 2, 0, std::numeric_limits<T>::quiet_NaN(), 1};
  const std::vector<T> v0{least, least / 4, least * 2, least, 0, 1, 1, std::numeric_limits<T>::infinity()};
  AdamCase at = cases()[0];
  Ways<Device>::each([&](Device& dev) {
    Memory<T> w(m0.size(), 1), g(m0.size(), 0), m(m0), v(v0);
    update(dev, at, w, g, m, v);
    const auto got_m = m.read(), got_v = v.read();
    for (const std::size_t i : {0u, 1u, 4u, 5u}) CHECK(is_plus_zero(got_m[i]));
    CHECK((got_m[2] > least && got_m[3] < -least && got_m[6] != got_m[6] && got_m[7] > T(0.8)));
    for (const std::size_t i : {0u, 1u, 3u, 4u}) CHECK(is_plus_zero(got_v[i]));
    CHECK((got_v[2] > least && got_v[5] > T(0.99) && got_v[7] == v0[7]));
    CHECK((w.intact() && m.intact() && v.intact()));
  });
}
