// Gathering: order, augmentation, normalisation and layout against the reference, pixel by pixel.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/gather.hpp"

#include <set>

#include "kernels/numbers.hpp"
#include "tenon/ref/gather.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

const double mean[3] = {0.2860, 0.5, 0.4}, deviation[3] = {0.3530, 0.25, 0.2};

template <class T, int H, int W, int C>
void agrees(bool planar_set, bool planar_batch, bool shift, bool flip, int batch, bool shuffled) {
  INFO(H << " x " << W << " x " << C << ", batch " << batch << (planar_set ? ", planar set" : "")
         << (planar_batch ? ", planar batch" : "") << (shift ? ", shift" : "") << (flip ? ", flip" : "")
         << (shuffled ? ", shuffled" : ""));
  constexpr int sample = H * W * C;
  const std::uint64_t count = 50, first = 11;
  std::vector<std::uint8_t> pixels(count * sample);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 13);
  const Images from{pixels.data(), static_cast<std::int64_t>(count), H, W, C, planar_set};
  const Order order = shuffled ? Order::shuffle(count, {3, random::Use::shuffle, 0, 1}) : Order::sequential();
  const Augmentation augmentation{shift, flip, {3, random::Use::augment, 0, 1}};

  std::vector<double> want(static_cast<std::size_t>(batch) * sample);
  for (int b = 0; b < batch; ++b)
    for (int i = 0; i < H; ++i)
      for (int j = 0; j < W; ++j)
        for (int k = 0; k < C; ++k)
          want[b * sample + (planar_batch ? (k * H + i) * W + j : (i * W + j) * C + k)] = kernels::ref::gathered(
              from, order(first + b), augmentation.draw(first + b), mean[k], deviation[k], i, j, k);

  SameBits same;
  for_each_cpu([&](Cpu& dev) {
    Guarded<T> x(want.size());
    gather_images(dev, from, order, first, augmentation, Normalisation<T>::from(mean, deviation, C),
                  Out<T, Batch, H, W, C>(x.data(), batch), planar_batch);
    CHECK(difference(x, want, 0, sizeof(T) == 4 ? 1e-6 : 1e-14) == "");
    CHECK(same(dev, x));
    CHECK(x.intact());
  });
}

template <class T, int H, int W, int C>
void agrees() {
  for (const int batch : {1, 2, 17})
    for (const bool shift : {false, true})
      for (const bool flip : {false, true}) {
        agrees<T, H, W, C>(false, false, shift, flip, batch, true);
        if (C == 1) continue;
        agrees<T, H, W, C>(true, false, shift, flip, batch, false);
        agrees<T, H, W, C>(true, true, shift, flip, batch, true);
        agrees<T, H, W, C>(false, true, shift, flip, batch, false);
      }
}

}  // namespace

TEST_CASE("gather_images agrees with the reference") {
  agrees<float, 28, 28, 1>();
  agrees<float, 8, 8, 3>();
  agrees<float, 5, 11, 3>();
  agrees<float, 3, 13, 1>();
  agrees<float, 7, 2, 1>();  // a shift may leave nothing
  agrees<float, 1, 1, 1>();
  agrees<double, 6, 9, 3>();
}

TEST_CASE("a batch does not depend on where it was cut") {
  std::vector<std::uint8_t> pixels(100 * 20);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 31);
  const Images from{pixels.data(), 100, 4, 5, 1, false};
  const Order order = Order::shuffle(100, {9, random::Use::shuffle, 0, 4});
  const Augmentation augmentation{true, true, {9, random::Use::augment, 0, 4}};
  Cpu dev;
  std::vector<float> whole(100 * 20), part(7 * 20);
  gather_images(dev, from, order, 0, augmentation, {}, Out<float, Batch, 20>(whole.data(), 100));
  gather_images(dev, from, order, 40, augmentation, {}, Out<float, Batch, 20>(part.data(), 7));
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 40 * 20));
}

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

TEST_CASE("labels follow the same order as images") {
  std::vector<std::uint8_t> labels(200);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i);
  const Order order = Order::shuffle(200, {1, random::Use::shuffle, 0, 0});
  std::vector<std::int32_t> y(200);
  Cpu dev;
  gather_labels(dev, labels.data(), order, 0, {y.data(), 200});
  for (std::uint64_t b = 0; b < 200; ++b) CHECK(y[b] == static_cast<int>(order(b)));
  CHECK(std::set<std::int32_t>(y.begin(), y.end()).size() == 200);
  gather_labels(dev, labels.data(), Order::sequential(), 30, {y.data(), 5});
  CHECK((y[0] == 30 && y[4] == 34));
}

TEST_CASE("images of another size than the input are refused") {
  const std::uint8_t pixels[12] = {};
  std::vector<float> x(20);
  Cpu dev;
  CHECK_THROWS_WITH(
      gather_images(dev, Images{pixels, 1, 3, 4, 1, false}, {}, 0, {}, {}, Out<float, Batch, 20>(x.data(), 1)),
      "[gather_images] expected images of 20 values and at most 4 channels, got 3 x 4 x 1");
}
