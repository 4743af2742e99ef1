// Reductions over flat memory: accurate, the same bits in every way, aligned or not; NaN and infinity are detected.
// Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/elementwise.hpp"
#include "tenon/ref/reduce.hpp"

namespace {

// Not lambdas: nvcc would need a flag for them.
template <class T>
struct Value {
  const T* x;
  TENON_HD T operator()(std::size_t i) const { return x[i]; }
};
template <class T>
struct Product {
  const T *a, *b;
  TENON_HD T operator()(std::size_t i) const { return a[i] * b[i]; }
};

template <class T>
Span<const T> span(Memory<T>& x) {
  return {x.data(), x.size()};
}

}  // namespace

TEMPLATE_TEST_CASE("sum_of_squares agrees with the reference", "", float, double) {
  using T = TestType;
  // A chunk has 16384 elements on the Cpu and at least 2048 on Cuda, where a block has 256 threads.
  for (const std::size_t n :
       {0,  1,    3,    4,    5,    7,    8,    9,    15,    16,    17,    31,
        33, 1000, 1023, 1025, 2047, 2048, 2049, 4100, 16384, 16385, 20001, many<Device>(400000, 20002)}) {
    INFO("n " << n);
    const auto x = numbers<T>(n, 1);
    const double want = kernels::ref::sum_of_squares(widen(x).data(), n);
    SameBitsOn<Device> same;
    Ways<Device>::each([&](Device& dev) {
      for (const std::size_t offset : {0u, 1u}) {
        Memory<T> x_(x, offset);
        const double s = sum_of_squares(dev, span(x_));
        CHECK(std::abs(s - want) <= 1e-13 * want);
        CHECK(same(dev, std::vector{s}));
      }
    });
  }
}

TEST_CASE("sum_of_squares of more than the most chunks") {
  constexpr std::size_t n = 2048 * 1024 + 2049;  // on Cuda chunks of 4096 elements, the last one of 1
  std::vector<float> x(n, 1);
  x[0] = x[n - 1] = 3, x[4095] = 5, x[4096] = 7;
  Memory<float> x_(x);
  Device dev = device<Device>();
  CHECK(sum_of_squares(dev, span(x_)) == n - 4 + 2 * 9 + 25 + 49);
}

TEST_CASE("sum_of_squares of floats cannot overflow") {
  Ways<Device>::each([&](Device& dev) {
    Memory<float> x(1000, 3e38f);
    CHECK(std::abs(sum_of_squares(dev, span(x)) / (1000 * 9e76) - 1) < 1e-6);
  });
}

TEMPLATE_TEST_CASE("all_finite finds one bad value anywhere", "", float, double) {
  using T = TestType;
  const T big = std::numeric_limits<T>::max(), tiny = std::numeric_limits<T>::denorm_min();
  for (const std::size_t n : {0, 1, 7, 8, 9, 33, 2049, 5000, 20000})
    for (const std::size_t offset : {0u, 1u}) {
      INFO("n " << n << ", offset " << offset);
      // NaN before the beginning and behind the end must not be read.
      std::vector<T> x(offset + n + 8, T(NAN));
      std::fill_n(&x[offset], n, big);
      if (n) x[offset + n / 2] = tiny;
      Ways<Device>::each([&](Device& dev) {
        Memory<T> x_(x);
        const Span<const T> some{x_.data() + offset, n};
        CHECK(all_finite(dev, some));
        if (n == 0) return;
        for (const std::size_t at : {offset, offset + n / 2, offset + n - 1})
          for (const T bad : {T(INFINITY), T(-INFINITY), T(NAN), T(-NAN)}) {
            put(dev, x_.span(), at, bad);
            CHECK_FALSE(all_finite(dev, some));
            put(dev, x_.span(), at, x[at]);
          }
      });
    }
}

TEST_CASE("sum is accurate, and the same in every way") {
  for (const std::size_t n :
       {0, 1, 3, 4, 5, 255, 257, 2048, 2049, 4095, 4096, 4097, 9001, 12288, 12289, many<Device>(300000, 12290)}) {
    INFO("n " << n);
    const auto x = numbers<double>(n, 7);
    const double want = kernels::ref::sum(x.data(), n);
    SameBitsOn<Device> same;
    Ways<Device>::each([&](Device& dev) {
      Memory<double> x_(x);
      const double s = sum(dev, n, Value<double>{x_.data()});
      CHECK(std::abs(s - want) <= 1e-15 * (1 + static_cast<double>(n)));
      CHECK(same(dev, std::vector{s}));
    });
  }
}

TEST_CASE("sum_into writes, adds, or does nothing") {
  for (const std::size_t n : {0, 1, 255, 257, 2048, 2049, 9001, 10001}) {
    INFO("n " << n);
    const auto a = integers<float>(n, 1), b = integers<float>(n, 2);
    double want = 0;
    for (std::size_t i = 0; i < n; ++i) want += a[i] * b[i];
    Ways<Device>::each([&](Device& dev) {
      Memory<float> a_(a), b_(b), to(1, 5.0f);
      const Product<float> f{a_.data(), b_.data()};
      CHECK(sum(dev, n, f) == want);
      sum_into(dev, n, f, Into<float, 1>(to.data(), 1, true));
      CHECK(to.read()[0] == 5 + want);
      sum_into(dev, n, f, Into<float, 1>(to.data()));
      CHECK(to.read()[0] == want);
      for (const bool add : {false, true})
        sum_into(dev, n, Product<float>{nullptr, nullptr}, Into<float, 1>(nullptr, 1, add));  // f is not called
      CHECK((to.read()[0] == want && to.intact()));
    });
  }
}
