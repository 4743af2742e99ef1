// AvgPool2d: means and gradient against the reference; padding counts as zeros.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/avg_pool2d.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/avg_pool2d.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, PoolDims D>
void agrees(int batch) {
  INFO(D.h << " x " << D.w << " x " << D.c << ", window " << D.window.kh << " x " << D.window.kw << ", stride "
           << D.window.sh << ", padding " << D.window.ph << ", dilation " << D.window.dh << ", batch " << batch);
  constexpr int in = D.h * D.w * D.c, out = D.oh() * D.ow() * D.c;
  const auto x = numbers<T>(batch * in, 1), dy = numbers<T>(batch * out, 2), old = numbers<T>(batch * in, 3);
  std::vector<double> want(batch * out), want_dx(batch * in);
  const auto wide = widen(x), wide_dy = widen(dy);
  for (int n = 0; n < batch; ++n) {
    kernels::ref::avg_pool2d(D, &wide[n * in], &want[n * out]);
    kernels::ref::avg_pool2d_backward(D, &wide_dy[n * out], &want_dx[n * in]);
  }
  const double off = allowed<T>(Kind::real, D.window.kh * D.window.kw);
  SameBits same, same_dx;
  for_each_cpu([&](Cpu& dev) {
    std::vector<T> y(batch * out), dx(batch * in, T(-77)), more(old);
    const In<T, Batch, D.oh(), D.ow(), D.c> dy_(dy.data(), batch);
    avg_pool2d_forward(dev, Pool<D>{}, In<T, Batch, D.h, D.w, D.c>(x.data(), batch),
                       Out<T, Batch, D.oh(), D.ow(), D.c>(y.data(), batch));
    CHECK(difference(y, want, 0, off) == "");
    avg_pool2d_backward(dev, Pool<D>{}, dy_, Into<T, Batch, D.h, D.w, D.c>(dx.data(), batch));
    CHECK(difference(dx, want_dx, 0, off) == "");
    avg_pool2d_backward(dev, Pool<D>{}, dy_, Into<T, Batch, D.h, D.w, D.c>(more.data(), batch, true));
    CHECK(difference(more, sum(old, want_dx), 0, off) == "");
    avg_pool2d_backward(dev, Pool<D>{}, dy_, Into<T, Batch, D.h, D.w, D.c>());
    CHECK((same(dev, y) && same_dx(dev, dx)));
  });
}

template <class T, PoolDims D>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees<T, D>(batch);
}

}  // namespace

TEST_CASE("avg_pool2d agrees with the reference", "[smoke]") {
  agrees<float, PoolDims{8, 6, 6, {2, 2, 2, 2}}>();
  agrees<float, PoolDims{17, 7, 5, {2, 2, 2, 2}}>();  // the window does not divide the image
  agrees<double, PoolDims{3, 7, 5, {2, 2, 2, 2}}>();
}

TEST_CASE("avg_pool2d agrees with the reference for any window") {
  agrees<float, PoolDims{1, 1, 1, {1, 1, 1, 1}}>();
  agrees<float, PoolDims{40, 5, 5, {3, 3, 2, 2, 1, 1}}>();  // overlapping, padded
  agrees<float, PoolDims{9, 8, 7, {2, 3, 1, 2, 1, 1}}>();
  agrees<float, PoolDims{16, 9, 8, {2, 3, 2, 1, 0, 0, 3, 2}}>();  // dilated
  agrees<float, PoolDims{5, 31, 1, {4, 1, 3, 1}}>();              // tall
  agrees<float, PoolDims{5, 1, 31, {1, 31, 1, 1}}>();             // wide
}
