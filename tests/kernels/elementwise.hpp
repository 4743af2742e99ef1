// Elementwise operations are exact, for lengths around a vector, a piece of 16 bytes, a block and a task, aligned and
// not. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/elementwise.hpp"

namespace {

constexpr int lengths[] = {1,  2,   3,   4,   5,    7,    8,    9,    31,   32,
                           33, 255, 256, 257, 1000, 1023, 1024, 1025, 5003, many<Device>(40000, 5004)};

// Not a lambda: nvcc would need a flag for it.
template <class T>
struct Squared {
  const T* x;
  TENON_HD T operator()(std::size_t i) const { return x[i] * x[i]; }
};

}  // namespace

TEMPLATE_TEST_CASE("add_forward and accumulate agree with the reference", "", float, double) {
  using T = TestType;
  using Vector = In<T, Batch, 1>;
  using To = Into<T, Batch, 1>;
  for (const int n : lengths)
    for (const std::size_t offset : {0u, 1u, 3u}) {
      INFO("n " << n << ", offset " << offset);
      const std::size_t size = static_cast<std::size_t>(n);
      const auto a = numbers<T>(size, 1), b = numbers<T>(size, 2);
      std::vector<double> exact(size);
      kernels::ref::add(widen(a).data(), widen(b).data(), exact.data(), size);
      const std::vector<T> want(exact.begin(), exact.end());  // rounded once, like a sum in T
      Ways<Device>::each([&](Device& dev) {
        Memory<T> a_(a, offset), b_(b), y(size), copy(size, T(-77), offset), added(a, offset), in_a(a, offset), in_b(b);
        add_forward(dev, Vector(a_.data(), n), Vector(b_.data(), n), Out<T, Batch, 1>(y.data(), n));
        CHECK((y.read() == want));
        add_forward(dev, Vector(in_a.data(), n), Vector(b_.data(), n), Out<T, Batch, 1>(in_a.data(), n));
        CHECK((in_a.read() == want));
        add_forward(dev, Vector(a_.data(), n), Vector(in_b.data(), n), Out<T, Batch, 1>(in_b.data(), n));
        CHECK((in_b.read() == want));
        accumulate(dev, Vector(a_.data(), n), To(copy.data(), n));
        CHECK((copy.read() == a));
        accumulate(dev, Vector(b_.data(), n), To(added.data(), n, true));
        CHECK((added.read() == want));
        for (const bool add : {false, true}) accumulate(dev, Vector(b_.data(), n), To(nullptr, n, add));
        CHECK((y.intact() && copy.intact() && added.intact() && in_a.intact() && in_b.intact()));
      });
    }
}

TEMPLATE_TEST_CASE("multiply_by multiplies each value once", "", float, double) {
  using T = TestType;
  for (const int n : lengths)
    for (const std::size_t offset : {0u, 1u, 3u}) {
      INFO("n " << n << ", offset " << offset);
      const auto x0 = numbers<T>(static_cast<std::size_t>(n), 1);
      std::vector<T> want(x0);
      for (T& v : want) v *= T(0.3);
      Ways<Device>::each([&](Device& dev) {
        Memory<T> x(x0, offset);
        multiply_by(dev, x.span(), T(0.3));
        CHECK((x.read() == want));
        CHECK(x.intact());
      });
    }
}

TEST_CASE("elementwise takes a function of the index, and writes, adds, or does nothing") {
  for (const int batch : {143, many<Device>(2858, 147)}) {
    const std::size_t n = static_cast<std::size_t>(batch) * 7;
    const auto x = numbers<float>(n, 5), old = numbers<float>(n, 6);
    std::vector<float> want(n), added(old);
    for (std::size_t i = 0; i < n; ++i) want[i] = x[i] * x[i], added[i] += want[i];
    Ways<Device>::each([&](Device& dev) {
      Memory<float> x_(x), y(n), dx(old);
      const Squared<float> f{x_.data()};
      elementwise(dev, Out<float, Batch, 7>(y.data(), batch), f);
      CHECK((y.read() == want));
      elementwise(dev, Into<float, Batch, 7>(dx.data(), batch, true), f);
      CHECK((dx.read() == added));
      elementwise(dev, Into<float, Batch, 7>(dx.data(), batch), f);
      CHECK((dx.read() == want));
      for (const bool add : {false, true})
        elementwise(dev, Into<float, Batch, 7>(nullptr, batch, add), Squared<float>{nullptr});  // f is not called
      CHECK((y.intact() && dx.intact()));
    });
  }
}
