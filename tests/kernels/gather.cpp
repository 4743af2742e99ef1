// tests/kernels/gather.hpp on the Cpu; and what is drawn, which is the same on every device.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/gather.hpp"

using Device = tenon::Cpu;

// Whether floats that lie side by side are multiplied and added with one rounding.
static bool rounds_once(const tenon::Cpu& dev) { return dev.isa() == tenon::Isa::avx2; }

#include "kernels/gather.hpp"

TEST_CASE("augmentation draws every shift and both directions, about equally often") {
  const Augmentation augmentation{true, true, {1, random::Use::augment, 0, 0}};
  int down[5] = {}, right[5] = {}, mirrored = 0;
  const int n = 50000;
  for (int i = 0; i < n; ++i) {
    const auto d = augmentation.draw(static_cast<std::uint64_t>(i));
    REQUIRE((d.down >= -2 && d.down <= 2 && d.right >= -2 && d.right <= 2));
    ++down[d.down + 2];
    ++right[d.right + 2];
    mirrored += d.mirrored;
  }
  for (int k = 0; k < 5; ++k) {
    CHECK(std::abs(down[k] - n / 5) < 5 * std::sqrt(n * 0.16));
    CHECK(std::abs(right[k] - n / 5) < 5 * std::sqrt(n * 0.16));
  }
  CHECK(std::abs(mirrored - n / 2) < 5 * std::sqrt(n * 0.25));
  const auto none = Augmentation{}.draw(3);
  CHECK((none.down == 0 && none.right == 0 && !none.mirrored));
}
