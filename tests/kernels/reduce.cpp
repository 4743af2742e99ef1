// Reductions over flat memory: exact enough, the same bits for any number of threads, and not to be fooled by NaN.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/reduce.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/reduce.hpp"

using namespace tenon;
using namespace tenon::tests;

TEMPLATE_TEST_CASE("sum_of_squares agrees with the reference", "", float, double) {
  using T = TestType;
  for (const std::size_t n : {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 1000, 16384, 16385, 400000}) {
    INFO("n " << n);
    const auto x = numbers<T>(n, 1);
    const double want = kernels::ref::sum_of_squares(widen(x).data(), n);
    SameBits same;
    for_each_cpu([&](Cpu& dev) {
      const double s = sum_of_squares(dev, Span<const T>{x.data(), n});
      CHECK(std::abs(s - want) <= 1e-13 * want);
      CHECK(same(dev, s));
    });
  }
}

TEST_CASE("sum_of_squares of floats cannot overflow") {
  const std::vector<float> x(1000, 3e38f);
  for_each_cpu([&](Cpu& dev) {
    const double s = sum_of_squares(dev, Span<const float>{x.data(), x.size()});
    CHECK(std::abs(s / (1000 * 9e76) - 1) < 1e-6);
  });
}

TEMPLATE_TEST_CASE("all_finite finds one bad value anywhere", "", float, double) {
  using T = TestType;
  const T big = std::numeric_limits<T>::max(), tiny = std::numeric_limits<T>::denorm_min();
  for (const std::size_t n : {1, 7, 8, 9, 33, 20000}) {
    std::vector<T> x(n, big);
    x[n / 2] = tiny;
    for_each_cpu([&](Cpu& dev) {
      CHECK(all_finite(dev, Span<const T>{x.data(), n}));
      for (const std::size_t at : {std::size_t{0}, n / 2, n - 1})
        for (const T bad : {T(INFINITY), T(-INFINITY), T(NAN), T(-NAN)}) {
          const T good = x[at];
          x[at] = bad;
          CHECK_FALSE(all_finite(dev, Span<const T>{x.data(), n}));
          x[at] = good;
        }
    });
  }
}
