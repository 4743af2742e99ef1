// Gathering: order, augmentation, normalisation and layout against the reference, pixel by pixel, and to the bit against
// one product and one sum. (On which device: devices.hpp.)
// SPDX-License-Identifier: MIT
#pragma once

#include <set>

#include "kernels/on_device.hpp"
#include "tenon/ref/gather.hpp"

namespace {

const double mean[3] = {0.2860, 0.5, 0.4}, deviation[3] = {0.3530, 0.25, 0.2};
constexpr std::uint64_t count = 50, first = 11;

std::vector<std::uint8_t> some_pixels(std::size_t sample) {
  std::vector<std::uint8_t> pixels(count * sample);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 13);
  return pixels;
}
Order some_order(bool shuffled, std::uint32_t epoch) {
  return shuffled ? Order::shuffle(count, {3, random::Use::shuffle, 0, epoch}) : Order::sequential();
}
Augmentation some_changes(bool shift, bool flip, std::uint32_t epoch) {
  return {shift, flip, {3, random::Use::augment, 0, epoch}};
}

template <class T, int H, int W, int C>
void agrees(bool planar_set, bool planar_batch, bool shift, bool flip, int batch, bool shuffled, std::size_t offset) {
  INFO(H << " x " << W << " x " << C << ", batch " << batch << (planar_set ? ", planar set" : "")
         << (planar_batch ? ", planar batch" : "") << (shift ? ", shift" : "") << (flip ? ", flip" : "")
         << (shuffled ? ", shuffled" : "") << ", offset " << offset);
  constexpr int sample = H * W * C;
  const auto pixels = some_pixels(sample);
  const Images on_host{pixels.data(), static_cast<std::int64_t>(count), H, W, C, planar_set};
  const Order order = some_order(shuffled, 1);
  const Augmentation augmentation = some_changes(shift, flip, 1);
  const auto normalisation = Normalisation<T>::from(mean, deviation, C);
  const bool side_by_side = C == 1 || (planar_set && planar_batch);

  const std::size_t n = static_cast<std::size_t>(batch) * sample;
  std::vector<double> want(n);
  std::vector<T> rounded_once(n), rounded_twice(n);
  for (int b = 0; b < batch; ++b)
    for (int i = 0; i < H; ++i)
      for (int j = 0; j < W; ++j)
        for (int k = 0; k < C; ++k) {
          const std::size_t at =
              static_cast<std::size_t>(b * sample + (planar_batch ? (k * H + i) * W + j : (i * W + j) * C + k));
          const auto drawn = augmentation.draw(first + b);
          want[at] = kernels::ref::gathered(on_host, order(first + b), drawn, mean[k], deviation[k], i, j, k);
          const T pixel = static_cast<T>(
              std::lround(255 * kernels::ref::gathered(on_host, order(first + b), drawn, 0, 1, i, j, k)));
          rounded_once[at] = std::fma(pixel, normalisation.scale[k], normalisation.offset[k]);
          rounded_twice[at] = pixel * normalisation.scale[k] + normalisation.offset[k];
        }
  Ways<Device>::each([&](Device& dev) {
    Memory<std::uint8_t> bytes(pixels, offset);
    Memory<T> x(n, -77, offset);
    Images from = on_host;
    from.pixels = bytes.data();
    gather_images(dev, from, order, first, augmentation, normalisation, Out<T, Batch, H, W, C>(x.data(), batch),
                  planar_batch);
    CHECK(difference(x.read(), want, 0, sizeof(T) == 4 ? 1e-6 : 1e-14) == "");
    CHECK((x.read() == (sizeof(T) == 4 && side_by_side && rounds_once(dev) ? rounded_once : rounded_twice)));
    CHECK(x.intact());
  });
}

template <class T, int H, int W, int C>
void agrees() {
  for (const int batch : {1, 2, 17})
    for (const bool shift : {false, true})
      for (const bool flip : {false, true})
        for (const std::size_t offset : {0u, 3u}) {
          agrees<T, H, W, C>(false, false, shift, flip, batch, true, offset);
          if (C == 1) continue;
          agrees<T, H, W, C>(true, false, shift, flip, batch, false, offset);
          agrees<T, H, W, C>(true, true, shift, flip, batch, true, offset);
          agrees<T, H, W, C>(false, true, shift, flip, batch, false, offset);
        }
}

}  // namespace

TEST_CASE("gather_images agrees with the reference") {
  agrees<float, 28, 28, 1>();
  agrees<float, 8, 8, 3>();
  agrees<float, 5, 11, 3>();
  agrees<float, 3, 13, 1>();
  agrees<float, 7, 2, 1>();  // a shift may leave nothing
  agrees<float, 2, 3, 2>();
  agrees<float, 1, 1, 1>();
  agrees<float, 32, 33, 1>();  // more than the threads of a block of Cuda's make at once
  agrees<double, 6, 9, 3>();
  agrees<double, 4, 4, 1>();
}

TEST_CASE("a batch does not depend on where it was cut") {
  Memory<std::uint8_t> pixels(some_pixels(20));
  const Images from{pixels.data(), static_cast<std::int64_t>(count), 4, 5, 1, false};
  Ways<Device>::each([&](Device& dev) {
    Memory<float> whole(50 * 20), part(7 * 20);
    gather_images(dev, from, some_order(true, 4), 0, some_changes(true, true, 4), {},
                  Out<float, Batch, 20>(whole.data(), 50));
    gather_images(dev, from, some_order(true, 4), 43, some_changes(true, true, 4), {},
                  Out<float, Batch, 20>(part.data(), 7));
    const auto all = whole.read();
    CHECK(part.read() == std::vector<float>(all.begin() + 43 * 20, all.end()));
  });
}

TEST_CASE("labels follow the same order as images, alone or with them") {
  std::vector<std::uint8_t> bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  const Order order = Order::shuffle(1000, {1, random::Use::shuffle, 0, 0});
  std::set<std::uint64_t> all_of_them;
  for (std::uint64_t b = 0; b < 1000; ++b) all_of_them.insert(order(b));
  CHECK(all_of_them.size() == 1000);
  Ways<Device>::each([&](Device& dev) {
    Memory<std::uint8_t> labels(bytes);
    Memory<std::int32_t> y(1000), together(300);
    Memory<float> x(300);
    gather_labels(dev, labels.data(), order, 0, y.span());
    gather_batch<float>(dev, Images{labels.data(), 1000, 1, 1, 1, false}, labels.data(), order, 500, {}, {},
                        Out<float, Batch, 1>(x.data(), 300), together.data());
    const auto all = y.read(), some = together.read();
    for (std::size_t b = 0; b < 1000; ++b)
      if (all[b] != bytes[order(b)]) FAIL("at " << b << ": " << all[b]);
    CHECK(std::equal(some.begin(), some.end(), all.begin() + 500));
    CHECK((x.intact() && y.intact() && together.intact()));
    gather_labels(dev, labels.data(), Order::sequential(), 30, {y.data(), 5});
    CHECK((y.read()[0] == 210 && y.read()[4] == (34 * 7) % 256 && y.read()[5] == all[5]));
  });
}

TEST_CASE("images of another size than the input are refused") {
  Device dev = device<Device>();
  Memory<float> x(20);
  CHECK_THROWS_WITH(
      gather_images(dev, Images{nullptr, 1, 3, 4, 1, false}, {}, 0, {}, {}, Out<float, Batch, 20>(x.data(), 1)),
      "[gather_images] expected images of 20 values and at most 4 channels, got 3 x 4 x 1");
}
