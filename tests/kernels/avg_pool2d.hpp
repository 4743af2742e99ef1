// AvgPool2d: means and gradient against the reference; padding counts as zeros. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/avg_pool2d.hpp"

namespace {

/// Uses integers where the number of window positions is a power of two: their means are exact.
template <class T, PoolDims D>
void agrees(int batch, std::size_t offset = 0) {
  INFO(D.h << " x " << D.w << " x " << D.c << ", window " << D.window.kh << " x " << D.window.kw << ", stride "
           << D.window.sh << ", padding " << D.window.ph << ", dilation " << D.window.dh << ", batch " << batch
           << ", offset " << offset);
  constexpr std::size_t in = static_cast<std::size_t>(D.h * D.w * D.c),
                        out = static_cast<std::size_t>(D.oh() * D.ow() * D.c);
  const std::size_t n = static_cast<std::size_t>(batch), n_in = n * in, n_out = n * out;
  constexpr int positions = D.window.kh * D.window.kw;
  constexpr Kind kind = (positions & (positions - 1)) == 0 ? Kind::whole : Kind::real;
  const auto x = values<T>(kind, n_in, 1), dy = values<T>(kind, n_out, 2), old = values<T>(kind, n_in, 3);
  std::vector<double> want(n_out), want_dx(n_in);
  const auto wide = widen(x), wide_dy = widen(dy);
  for (std::size_t b = 0; b < n; ++b) {
    kernels::ref::avg_pool2d(D, &wide[b * in], &want[b * out]);
    kernels::ref::avg_pool2d_backward(D, &wide_dy[b * out], &want_dx[b * in]);
  }
  const double off = allowed<T>(kind, positions);

  using Dx = Into<T, Batch, D.h, D.w, D.c>;
  SameBitsOn<Device> same, same_dx;
  Ways<Device>::each([&](Device& dev) {
    Memory<T> x_(x, offset), y(n_out), dy_(dy, offset), dx(n_in), more(old);
    avg_pool2d_forward(dev, PoolTag<D>{}, In<T, Batch, D.h, D.w, D.c>(x_.data(), batch),
                       Out<T, Batch, D.oh(), D.ow(), D.c>(y.data(), batch));
    CHECK(difference(y.read(), want, 0, off) == "");
    const In<T, Batch, D.oh(), D.ow(), D.c> down(dy_.data(), batch);
    avg_pool2d_backward(dev, PoolTag<D>{}, down, Dx(dx.data(), batch));
    CHECK(difference(dx.read(), want_dx, 0, off) == "");
    avg_pool2d_backward(dev, PoolTag<D>{}, down, Dx(more.data(), batch, true));
    CHECK(difference(more.read(), sum(old, want_dx), 0, off) == "");
    avg_pool2d_backward(dev, PoolTag<D>{}, down, Dx());
    CHECK((same(dev, y.read()) && same_dx(dev, dx.read())));
    CHECK((y.intact() && dx.intact() && more.intact()));
  });
}

template <class T, PoolDims D>
void agrees() {
  for (const int batch : {1, 2, many<Device>(17, 3)}) agrees<T, D>(batch);
}

}  // namespace

TEST_CASE("avg_pool2d agrees with the reference", "[smoke]") {
  agrees<float, PoolDims{8, 6, 6, {2, 2, 2, 2}}>();
  agrees<float, PoolDims{17, 7, 5, {2, 2, 2, 2}}>();  // the window does not divide the image
  agrees<double, PoolDims{3, 7, 5, {2, 2, 2, 2}}>();
  agrees<double, PoolDims{6, 7, 5, {2, 2, 2, 2}}>();
  agrees<float, PoolDims{8, 6, 6, {2, 2, 2, 2}}>(2, 1);  // not aligned
  agrees<double, PoolDims{8, 6, 6, {2, 2, 2, 2}}>(2, 1);
}

TEST_CASE("avg_pool2d agrees with the reference for any window") {
  agrees<float, PoolDims{1, 1, 1, {1, 1, 1, 1}}>();
  agrees<float, PoolDims{40, 5, 5, {3, 3, 2, 2, 1, 1}}>();  // overlapping, padded
  agrees<float, PoolDims{40, 5, 5, {4, 4, 1, 3, 2, 1}}>();
  agrees<float, PoolDims{9, 8, 7, {2, 3, 1, 2, 1, 1}}>();
  agrees<float, PoolDims{16, 9, 8, {2, 3, 2, 1, 0, 0, 3, 2}}>();  // dilated
  agrees<float, PoolDims{4, 9, 11, {2, 2, 3, 5}}>();              // pixels between windows
  agrees<float, PoolDims{5, 31, 1, {4, 1, 3, 1}}>();              // tall
  agrees<float, PoolDims{5, 1, 31, {1, 31, 1, 1}}>();             // wide
  agrees<double, PoolDims{4, 8, 7, {3, 2, 2, 1, 1, 1, 2, 1}}>();
}
