// MaxPool2d: maxima, argmax and gradient are exactly those of the reference; ties, NaN, padding, alignment. Runs on any
// device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/max_pool2d.hpp"

namespace {

/// `offset` moves x, y and dx off their alignment, `places_offset` the argmax.
template <class T, PoolDims D>
void agrees(int batch, std::size_t offset = 0, std::size_t places_offset = 0) {
  INFO(D.h << " x " << D.w << " x " << D.c << ", window " << D.window.kh << " x " << D.window.kw << ", stride "
           << D.window.sh << ", padding " << D.window.ph << ", dilation " << D.window.dh << ", batch " << batch
           << ", offsets " << offset << " and " << places_offset);
  constexpr std::size_t in = static_cast<std::size_t>(D.h * D.w * D.c),
                        out = static_cast<std::size_t>(D.oh() * D.ow() * D.c);
  const std::size_t n = static_cast<std::size_t>(batch), n_in = n * in, n_out = n * out;
  auto x = integers<T>(n_in, 1);
  const auto dy = integers<T>(n_out, 2), old = integers<T>(n_in, 3);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % 7 == 3) x[i] = -std::numeric_limits<T>::infinity();
    if (i % 31 == 5) x[i] = std::numeric_limits<T>::quiet_NaN();
  }
  std::vector<double> want(n_out), want_dx(n_in);
  std::vector<std::uint8_t> want_places(n_out);
  const auto wide = widen(x), wide_dy = widen(dy);
  for (std::size_t b = 0; b < n; ++b) {
    kernels::ref::max_pool2d(D, &wide[b * in], &want[b * out], &want_places[b * out]);
    kernels::ref::max_pool2d_backward(D, &want_places[b * out], &wide_dy[b * out], &want_dx[b * in]);
  }

  using Y = Out<T, Batch, D.oh(), D.ow(), D.c>;
  using Places = Out<std::uint8_t, Batch, D.oh(), D.ow(), D.c>;
  using Dx = Into<T, Batch, D.h, D.w, D.c>;
  Ways<Device>::each([&](Device& dev) {
    Memory<T> x_(x, offset), y(n_out, T(-77), offset), again(n_out), dy_(dy), dx(n_in, T(-77), offset), more(old);
    Memory<std::uint8_t> places(n_out, 77, places_offset);
    const In<T, Batch, D.h, D.w, D.c> from(x_.data(), batch);
    max_pool2d_forward(dev, PoolTag<D>{}, from, Y(y.data(), batch), Places(places.data(), batch));
    CHECK(difference(y.read(), want, 0) == "");
    CHECK(places.read() == want_places);
    max_pool2d_forward(dev, PoolTag<D>{}, from, Y(again.data(), batch), Places());
    CHECK(difference(again.read(), want, 0) == "");

    const In<std::uint8_t, Batch, D.oh(), D.ow(), D.c> at(places.data(), batch);
    const In<T, Batch, D.oh(), D.ow(), D.c> down(dy_.data(), batch);
    max_pool2d_backward(dev, PoolTag<D>{}, at, down, Dx(dx.data(), batch));
    CHECK(difference(dx.read(), want_dx, 0) == "");
    max_pool2d_backward(dev, PoolTag<D>{}, at, down, Dx(more.data(), batch, true));
    CHECK(difference(more.read(), sum(old, want_dx), 0) == "");
    max_pool2d_backward(dev, PoolTag<D>{}, at, down, Dx());
    CHECK((y.intact() && again.intact() && places.intact() && dx.intact() && more.intact()));
  });
}

template <class T, PoolDims D>
void agrees() {
  for (const int batch : {1, 2, many<Device>(17, 3)}) agrees<T, D>(batch);
}

}  // namespace

TEST_CASE("max_pool2d agrees with the reference, ties and NaN included", "[smoke]") {
  agrees<float, PoolDims{8, 6, 6, {2, 2, 2, 2}}>();
  agrees<float, PoolDims{17, 7, 5, {2, 2, 2, 2}}>();  // the window does not divide the image
  agrees<float, PoolDims{12, 7, 5, {2, 2, 2, 2}}>();
  agrees<double, PoolDims{3, 7, 5, {2, 2, 2, 2}}>();
  agrees<double, PoolDims{6, 7, 5, {2, 2, 2, 2}}>();
}

TEST_CASE("max_pool2d agrees with the reference for any window") {
  agrees<float, PoolDims{1, 1, 1, {1, 1, 1, 1}}>();
  agrees<float, PoolDims{1, 9, 9, {3, 3, 3, 3}}>();
  agrees<float, PoolDims{40, 5, 5, {3, 3, 2, 2, 1, 1}}>();  // overlapping, padded
  agrees<float, PoolDims{9, 8, 7, {2, 3, 1, 2, 1, 1}}>();
  agrees<float, PoolDims{16, 9, 8, {2, 3, 2, 1, 0, 0, 3, 2}}>();  // dilated
  agrees<float, PoolDims{4, 9, 11, {2, 2, 3, 5}}>();              // pixels between windows
  agrees<float, PoolDims{5, 31, 1, {4, 1, 3, 1}}>();              // tall
  agrees<float, PoolDims{5, 1, 31, {1, 15, 1, 15}}>();            // wide
  agrees<float, PoolDims{3, 15, 17, {15, 17, 1, 1}}>();           // 255 positions
  agrees<double, PoolDims{9, 8, 7, {3, 2, 2, 1, 1, 1, 2, 1}}>();
  agrees<double, PoolDims{4, 8, 7, {3, 2, 2, 1, 1, 1, 2, 1}}>();
}

TEST_CASE("max_pool2d of a window that is all padding is minus infinity, and has no gradient") {
  agrees<float, PoolDims{3, 3, 1, {2, 1, 1, 1, 1, 0, 4, 1}}>();  // rows -1 and 3 of 0 .. 2
  agrees<float, PoolDims{4, 3, 1, {2, 1, 1, 1, 1, 0, 4, 1}}>();
}

TEST_CASE("max_pool2d of memory that is not aligned") {
  agrees<float, PoolDims{8, 6, 6, {2, 2, 2, 2}}>(2, 1, 0);
  agrees<float, PoolDims{8, 6, 6, {3, 3, 2, 2, 1, 1}}>(2, 0, 2);
  agrees<double, PoolDims{8, 6, 6, {2, 2, 2, 2}}>(2, 1, 0);
  agrees<double, PoolDims{8, 6, 6, {2, 2, 2, 2}}>(2, 0, 1);
}
