// tests/kernels/elementwise.hpp on the Cpu; and how reductions are split and combined.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/elementwise.hpp"

using Device = tenon::Cpu;
#include "kernels/elementwise.hpp"

TEST_CASE("for_each_element visits every element once") {
  for (const int n : {0, 1, 16384, 16385, 100000}) {
    for_each_cpu([&](Cpu& dev) {
      std::vector<int> visits(n);
      for_each_element(dev, static_cast<std::size_t>(n), [&](std::size_t i) { ++visits[i]; });
      CHECK(visits == std::vector<int>(n, 1));
    });
  }
}

TEST_CASE("chunks cover the range once and never exceed 64") {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{262144},
                              std::size_t{262145}, std::size_t{10000019}}) {
    const kernels::Chunks chunks(n);
    CHECK(chunks.count <= kernels::Chunks::max);
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
