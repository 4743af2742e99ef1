// Permutation between channels-last and channels-first: every value is moved to its place, or accumulated there. Runs
// on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/permute.hpp"

namespace {

template <class T, int H, int W, int C>
void moves(int batch, std::size_t offset = 0) {
  INFO("batch " << batch << ", " << H << " x " << W << " x " << C << ", offset " << offset);
  constexpr std::size_t sample = std::size_t{H} * W * C;
  const std::size_t size = static_cast<std::size_t>(batch) * sample;
  const auto x = numbers<T>(size, 1), old = numbers<T>(size, 2);
  std::vector<T> planar(size), added(old), back(old);
  for (std::size_t n = 0; n < size; n += sample) kernels::ref::permute(&x[n], H * W, C, &planar[n]);
  for (std::size_t i = 0; i < size; ++i) {
    added[i] += planar[i];
    back[i] += x[i];
  }
  using First = Into<T, Batch, C, H, W>;
  using Last = Into<T, Batch, H, W, C>;
  Ways<Device>::each([&](Device& dev) {
    Memory<T> x_(x, offset), y(size, T(-77), offset), z(size), more(old), more_back(old);
    const In<T, Batch, H, W, C> from(x_.data(), batch);
    const In<T, Batch, C, H, W> from_first(y.data(), batch);
    to_channels_first(dev, from, First(y.data(), batch));
    CHECK((y.read() == planar));
    to_channels_last(dev, from_first, Last(z.data(), batch));
    CHECK((z.read() == x));
    to_channels_first(dev, from, First(more.data(), batch, true));
    CHECK((more.read() == added));
    to_channels_last(dev, from_first, Last(more_back.data(), batch, true));
    CHECK((more_back.read() == back));
    for (const bool add : {false, true}) {  // the result is omitted
      to_channels_first(dev, from, First(nullptr, batch, add));
      to_channels_last(dev, from_first, Last(nullptr, batch, add));
    }
    CHECK((y.intact() && z.intact() && more.intact() && more_back.intact()));
  });
}

}  // namespace

TEST_CASE("permute moves every value to its place", "[smoke]") {
  for (const int batch : {1, 2, 17}) {
    moves<float, 1, 1, 1>(batch);
    moves<float, 3, 5, 7>(batch);
    moves<float, 7, 7, 32>(batch);
    moves<double, 3, 3, 9>(batch);
  }
}

TEST_CASE("permute by Cuda's tiles: one, part of one, one and one more, several each way") {
  moves<float, 4, 8, 32>(2);
  moves<float, 3, 4, 12>(3);
  moves<float, 4, 4, 33>(1);
  moves<float, 13, 5, 67>(2);
  moves<double, 5, 7, 33>(2);
  moves<float, 5, 7, 33>(2, 1);
}

TEST_CASE("permute moves tall and wide images, few channels and few pixels, and more samples than a task takes") {
  for (const int batch : {1, 17}) {
    moves<float, 4, 4, 8>(batch);
    moves<float, 3, 3, 17>(batch);
    moves<float, 37, 1, 3>(batch);
  }
  moves<float, 17, 17, 3>(2, 1);
  moves<double, 2, 2, 129>(2);
  moves<float, 2, 1, 3>(5000);
  moves<float, 130, 1, 129>(2);
}

TEST_CASE("permute of one channel or one pixel is a copy") {
  for (const int batch : {1, 17}) {
    moves<float, 1, 1, 129>(batch);
    moves<float, 28, 28, 1>(batch);
  }
  moves<float, 14, 14, 1>(3);
  moves<float, 5, 5, 1>(3, 1);
  moves<double, 1, 1, 5>(7);
}
