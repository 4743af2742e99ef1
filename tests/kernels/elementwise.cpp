// Element by element: addition, accumulation, and the words for users' layers.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/elementwise.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/elementwise.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {
const int lengths[] = {1, 7, 8, 9, 31, 32, 33, 1000, 40000};
}

TEMPLATE_TEST_CASE("add_forward and accumulate agree with the reference", "", float, double) {
  using T = TestType;
  for (const int n : lengths) {
    const auto a = numbers<T>(n, 1), b = numbers<T>(n, 2);
    std::vector<T> want(n);
    for (int i = 0; i < n; ++i) want[i] = a[i] + b[i];
    for_each_cpu([&](Cpu& dev) {
      Guarded<T> y(n), copy(n), added(a);
      add_forward(dev, In<T, Batch, 1>(a.data(), n), In<T, Batch, 1>(b.data(), n), Out<T, Batch, 1>(y.data(), n));
      CHECK(difference(y, widen(want), 0) == "");
      accumulate(dev, In<T, Batch, 1>(a.data(), n), Into<T, Batch, 1>(copy.data(), n));
      CHECK(difference(copy, widen(a), 0) == "");
      accumulate(dev, In<T, Batch, 1>(b.data(), n), Into<T, Batch, 1>(added.data(), n, true));
      CHECK(difference(added, widen(want), 0) == "");
      accumulate(dev, In<T, Batch, 1>(b.data(), n), Into<T, Batch, 1>());
      CHECK((y.intact() && copy.intact() && added.intact()));
    });
  }
}

TEST_CASE("for_each_element visits every element once") {
  for (const int n : {0, 1, 16384, 16385, 100000}) {
    for_each_cpu([&](Cpu& dev) {
      std::vector<int> visits(n);
      for_each_element(dev, static_cast<std::size_t>(n), [&](std::size_t i) { ++visits[i]; });
      CHECK(visits == std::vector<int>(n, 1));
    });
  }
}

TEST_CASE("elementwise writes, adds, or does nothing") {
  const int n = 20000;
  for_each_cpu([&](Cpu& dev) {
    std::vector<float> y(n, 5), dx(n, 5);
    const auto f = [](std::size_t i) { return 0.5f * static_cast<float>(i); };
    elementwise(dev, Out<float, Batch, 4>(y.data(), n / 4), f);
    CHECK((y[0] == 0 && y[7] == 3.5f && y[n - 1] == 0.5f * (n - 1)));
    elementwise(dev, Into<float, Batch, 4>(dx.data(), n / 4, true), f);
    CHECK((dx[0] == 5 && dx[7] == 8.5f && dx[n - 1] == 5 + 0.5f * (n - 1)));
    elementwise(dev, Into<float, Batch, 4>(dx.data(), n / 4), f);
    CHECK((dx[0] == 0 && dx[7] == 3.5f));
    elementwise(dev, Into<float, Batch, 4>(), [](std::size_t) -> float { throw Error("test", "called"); });
  });
}

TEST_CASE("sum is accurate, and the same for any number of threads") {
  for (const std::size_t n : {0, 1, 3, 4, 5, 4095, 4096, 4097, 12288, 12289, 300000}) {
    INFO("n " << n);
    const auto x = numbers<double>(n, 7);
    const double want = kernels::ref::sum(x.data(), n);
    SameBits same;
    for_each_cpu([&](Cpu& dev) {
      const double s = sum(dev, n, [&](std::size_t i) { return x[i]; });
      CHECK(std::abs(s - want) <= 1e-15 * (1 + static_cast<double>(n)));
      CHECK(same(dev, s));
    });
  }
}

TEST_CASE("sum_into writes, adds, or does nothing") {
  for_each_cpu([&](Cpu& dev) {
    float to = 5;
    const auto half = [](std::size_t) { return 0.5; };
    sum_into(dev, 10001, half, Into<float, 1>(&to, 1, true));
    CHECK(to == 5005.5f);
    sum_into(dev, 10001, half, Into<float, 1>(&to));
    CHECK(to == 5000.5f);
    sum_into(
        dev, 3, [](std::size_t) -> double { throw Error("test", "called"); }, Into<float, 1>());
  });
}

TEST_CASE("chunks cover the range once and never exceed 64") {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{262144},
                              std::size_t{262145}, std::size_t{10000019}}) {
    const kernels::Chunks chunks(n);
    CHECK(chunks.count <= kernels::Chunks::most);
    std::size_t at = 0;
    for (int c = 0; c < chunks.count; ++c) {
      CHECK(chunks.begin(c) == at);
      CHECK(chunks.end(c) > at);
      at = chunks.end(c);
    }
    CHECK(at == n);
  }
}

TEST_CASE("tree_sum adds in one fixed tree") {
  // ((a + b) + (c + d)) + e: only this order gives 1 here.
  float v[5] = {1e8f, -1e8f, 1e8f, -1e8f, 1};
  CHECK(kernels::tree_sum(v, 5) == 1);
  float w[4] = {1, 1e8f, -1, -1e8f};
  CHECK(kernels::tree_sum(w, 4) == (1 + 1e8f) + (-1 - 1e8f));
  CHECK(kernels::tree_sum(w, 0) == 0);
}
