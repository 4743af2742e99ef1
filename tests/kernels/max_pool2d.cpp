// MaxPool2d: maxima, their places and the gradient against the reference; ties, NaN and padding.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/max_pool2d.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/max_pool2d.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, PoolDims D>
void agrees(int batch) {
  INFO(D.h << " x " << D.w << " x " << D.c << ", window " << D.window.kh << " x " << D.window.kw << ", stride "
           << D.window.sh << ", padding " << D.window.ph << ", dilation " << D.window.dh << ", batch " << batch);
  constexpr int in = D.h * D.w * D.c, out = D.oh() * D.ow() * D.c;
  auto x = integers<T>(batch * in, 1);
  const auto dy = integers<T>(batch * out, 2), old = integers<T>(batch * in, 3);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % 7 == 3) x[i] = -std::numeric_limits<T>::infinity();
    if (i % 31 == 5) x[i] = std::numeric_limits<T>::quiet_NaN();
  }
  std::vector<double> want(batch * out), want_dx(batch * in);
  std::vector<std::uint8_t> places(batch * out);
  const auto wide = widen(x), wide_dy = widen(dy);
  for (int n = 0; n < batch; ++n) {
    kernels::ref::max_pool2d(D, &wide[n * in], &want[n * out], &places[n * out]);
    kernels::ref::max_pool2d_backward(D, &places[n * out], &wide_dy[n * out], &want_dx[n * in]);
  }
  for_each_cpu([&](Cpu& dev) {
    using Y = Out<T, Batch, D.oh(), D.ow(), D.c>;
    using Places = Out<std::uint8_t, Batch, D.oh(), D.ow(), D.c>;
    std::vector<T> y(batch * out), again(batch * out), dx(batch * in, T(-77)), more(old);
    std::vector<std::uint8_t> argmax(batch * out);
    const In<T, Batch, D.h, D.w, D.c> x_(x.data(), batch);
    const In<T, Batch, D.oh(), D.ow(), D.c> dy_(dy.data(), batch);
    max_pool2d_forward(dev, Pool<D>{}, x_, Y(y.data(), batch), Places(argmax.data(), batch));
    CHECK(difference(y, want, 0) == "");
    CHECK(argmax == places);
    max_pool2d_forward(dev, Pool<D>{}, x_, Y(again.data(), batch), Places());
    CHECK(difference(again, want, 0) == "");

    const In<std::uint8_t, Batch, D.oh(), D.ow(), D.c> at(argmax.data(), batch);
    max_pool2d_backward(dev, Pool<D>{}, at, dy_, Into<T, Batch, D.h, D.w, D.c>(dx.data(), batch));
    CHECK(difference(dx, want_dx, 0) == "");
    max_pool2d_backward(dev, Pool<D>{}, at, dy_, Into<T, Batch, D.h, D.w, D.c>(more.data(), batch, true));
    CHECK(difference(more, sum(old, want_dx), 0) == "");
    max_pool2d_backward(dev, Pool<D>{}, at, dy_, Into<T, Batch, D.h, D.w, D.c>());
  });
}

template <class T, PoolDims D>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees<T, D>(batch);
}

}  // namespace

TEST_CASE("max_pool2d agrees with the reference, ties and NaN included", "[smoke]") {
  agrees<float, PoolDims{8, 6, 6, {2, 2, 2, 2}}>();
  agrees<float, PoolDims{17, 7, 5, {2, 2, 2, 2}}>();  // the window does not divide the image
  agrees<double, PoolDims{3, 7, 5, {2, 2, 2, 2}}>();
}

TEST_CASE("max_pool2d agrees with the reference for any window") {
  agrees<float, PoolDims{1, 1, 1, {1, 1, 1, 1}}>();
  agrees<float, PoolDims{1, 9, 9, {3, 3, 3, 3}}>();
  agrees<float, PoolDims{40, 5, 5, {3, 3, 2, 2, 1, 1}}>();  // overlapping, padded
  agrees<float, PoolDims{9, 8, 7, {2, 3, 1, 2, 1, 1}}>();
  agrees<float, PoolDims{16, 9, 8, {2, 3, 2, 1, 0, 0, 3, 2}}>();  // dilated
  agrees<float, PoolDims{5, 31, 1, {4, 1, 3, 1}}>();              // tall
  agrees<float, PoolDims{5, 1, 31, {1, 15, 1, 15}}>();            // wide
  agrees<float, PoolDims{3, 15, 17, {15, 17, 1, 1}}>();           // 255 positions
  agrees<double, PoolDims{9, 8, 7, {3, 2, 2, 1, 1, 1, 2, 1}}>();
}

TEST_CASE("max_pool2d of a window that is all padding is minus infinity, and has no gradient") {
  agrees<float, PoolDims{3, 3, 1, {2, 1, 1, 1, 1, 0, 4, 1}}>();  // rows -1 and 3 of 0 .. 2
}
