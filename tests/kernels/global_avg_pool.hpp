// GlobalAvgPool: means and gradient against the reference, for few and many channels and pixels. Runs on any
// device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/global_avg_pool.hpp"

namespace {

template <class T, int H, int W, int C>
void agrees(int batch, std::size_t offset = 0) {
  INFO("batch " << batch << ", " << H << " x " << W << " x " << C << ", offset " << offset);
  // Means of integers over a power of two of pixels are exact.
  constexpr Kind kind = (H * W & (H * W - 1)) == 0 ? Kind::whole : Kind::real;
  constexpr std::size_t sample = std::size_t{H} * W * C;
  const std::size_t n = static_cast<std::size_t>(batch), n_in = n * sample, n_out = n * C;
  const auto x = values<T>(kind, n_in, 1), dy = values<T>(kind, n_out, 2), old = values<T>(kind, n_in, 3);
  std::vector<double> want(n_out), want_dx(n_in);
  const auto wide = widen(x), wide_dy = widen(dy);
  for (std::size_t b = 0; b < n; ++b) {
    kernels::ref::global_avg_pool(&wide[b * sample], H * W, C, &want[b * C]);
    kernels::ref::global_avg_pool_backward(&wide_dy[b * C], H * W, C, &want_dx[b * sample]);
  }
  const double off = allowed<T>(kind, H * W) / (H * W), once = allowed<T>(kind, 1);

  using Dx = Into<T, Batch, H, W, C>;
  SameBitsOn<Device> same, same_dx;
  Ways<Device>::each([&](Device& dev) {
    Memory<T> x_(x, offset), y(n_out), dy_(dy), dx(n_in, T(-77), offset), more(old);
    global_avg_pool_forward(dev, In<T, Batch, H, W, C>(x_.data(), batch), Out<T, Batch, C>(y.data(), batch));
    CHECK(difference(y.read(), want, 0, off) == "");
    const In<T, Batch, C> down(dy_.data(), batch);
    global_avg_pool_backward(dev, down, Dx(dx.data(), batch));
    CHECK(difference(dx.read(), want_dx, 0, once) == "");
    global_avg_pool_backward(dev, down, Dx(more.data(), batch, true));
    CHECK(difference(more.read(), sum(old, want_dx), 0, once) == "");
    global_avg_pool_backward(dev, down, Dx());
    CHECK((same(dev, y.read()) && same_dx(dev, dx.read())));
    CHECK((y.intact() && dx.intact() && more.intact()));
  });
}

template <class T, int H, int W, int C>
void agrees() {
  for (const int batch : {1, 2, many<Device>(17, 3)}) agrees<T, H, W, C>(batch);
}

}  // namespace

TEST_CASE("global_avg_pool agrees with the reference", "[smoke]") {
  agrees<float, 1, 1, 1>();
  agrees<float, 7, 7, 17>();
  agrees<double, 3, 5, 7>();
  agrees<double, 4, 4, 6>();
}

TEST_CASE("global_avg_pool agrees with the reference for few and many channels, tall and wide images") {
  agrees<float, 8, 8, 64>();
  agrees<float, 4, 4, 36>();  // on Cuda the channels of one block and one more piece
  agrees<float, 8, 8, 4>();
  agrees<float, 28, 28, 1>();
  agrees<float, 16, 17, 3>();
  agrees<float, 37, 1, 8>();
  agrees<float, 1, 41, 33>();
  agrees<float, 8, 8, 12>(2, 1);  // not aligned
  agrees<float, 4, 4, 32>(2, 2);
  agrees<double, 8, 4, 18>(2, 1);
}
