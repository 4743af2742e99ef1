// tests/kernels/gather.hpp on the Cpu; and the parts of a source, which are the same on every device.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/gather.hpp"

using Device = tenon::Cpu;

// Whether the multiplication and addition of adjacent floats are rounded once (fma).
static bool rounds_once(const tenon::Cpu& dev) { return dev.isa() == tenon::Isa::avx2; }

#include "kernels/gather.hpp"

TEST_CASE("augmentation draws every shift and both directions, about equally often") {
  const kernels::Augmentation augmentation{true, true, {1, random::Use::augment, 0, 0}};
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
  const auto none = kernels::Augmentation{}.draw(3);
  CHECK((none.down == 0 && none.right == 0 && !none.mirrored));
}

TEST_CASE("a sequential order is the identity, a shuffle is a bijection that is not") {
  const kernels::Order order = kernels::Order::sequential(),
                       shuffled = kernels::Order::shuffle(1000, {1, random::Use::shuffle, 0, 0});
  std::set<std::uint64_t> seen;
  int same = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    CHECK(order(i) == i);
    CHECK(shuffled(i) < 1000);
    seen.insert(shuffled(i));
    same += shuffled(i) == i;
  }
  CHECK(seen.size() == 1000);
  CHECK(same < 20);
}

TEST_CASE("normalisation takes the mean to 0 and a deviation to 1") {
  const double centre[2] = {0.25, 0.5}, width[2] = {0.5, 0.125};
  const auto n = kernels::Normalisation<double>::from(centre, width, 2);
  for (int c = 0; c < 2; ++c) {
    CHECK_THAT(255 * centre[c] * n.scale[c] + n.offset[c], WithinAbs(0, 1e-15));
    CHECK_THAT(255 * (centre[c] + width[c]) * n.scale[c] + n.offset[c], WithinAbs(1, 1e-15));
  }
  const kernels::Normalisation<double> plain;
  CHECK_THAT(255 * plain.scale[3] + plain.offset[3], WithinAbs(1, 1e-15));
}

TEST_CASE("images that do not fit the input are refused, also those of another shape with as many pixels") {
  const auto images = [](int h, int w, int c) { return kernels::Images{nullptr, 1, h, w, c, true}; };
  images(16, 8, 3).require_input(dims(3, 16, 8), 4);
  images(16, 8, 3).require_input(dims(384), 4);
  images(16, 8, 1).require_input(dims(16, 8), 4);
  CHECK_THROWS_WITH(images(8, 16, 3).require_input(dims(3, 16, 8), 4),
                    "[ImageData] expected images of 3 x 16 x 8 as the network's Input, got images of 3 x 8 x 16 "
                    "(channels, height, width)");
  CHECK_THROWS_WITH(
      images(3, 4, 1).require_input(dims(20), 4),
      "[ImageData] expected images of 20 as the network's Input, got images of 1 x 3 x 4 (channels, height, width)");
  CHECK_THROWS_WITH(images(8, 16, 1).require_input(dims(16, 8), 4),
                    "[ImageData] expected images of 16 x 8 as the network's Input, got images of 1 x 8 x 16 (channels, "
                    "height, width)");
  CHECK_THROWS_WITH(
      images(4, 2, 2).require_input(dims(8, 2), 4),
      "[ImageData] expected images of 8 x 2 as the network's Input, got images of 2 x 4 x 2 (channels, height, width)");
  CHECK_THROWS_WITH(
      images(2, 2, 5).require_input(dims(5, 2, 2), 4),
      "[ImageData] expected images of at most 4 channels, got images of 5 x 2 x 2 (channels, height, width)");
}
