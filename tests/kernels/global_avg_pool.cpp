// GlobalAvgPool: means and gradient against the reference.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/global_avg_pool.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/global_avg_pool.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, int H, int W, int C>
void agrees() {
  for (const int batch : {1, 2, 17}) {
    INFO("batch " << batch << ", " << H << " x " << W << " x " << C);
    constexpr int sample = H * W * C;
    const auto x = numbers<T>(batch * sample, 1), dy = numbers<T>(batch * C, 2), old = numbers<T>(batch * sample, 3);
    std::vector<double> want(batch * C), want_dx(batch * sample);
    const auto wide = widen(x), wide_dy = widen(dy);
    for (int n = 0; n < batch; ++n) {
      kernels::ref::global_avg_pool(&wide[n * sample], H * W, C, &want[n * C]);
      kernels::ref::global_avg_pool_backward(&wide_dy[n * C], H * W, C, &want_dx[n * sample]);
    }
    const double off = allowed<T>(Kind::real, H * W) / (H * W), once = allowed<T>(Kind::real, 1);
    SameBits same, same_dx;
    for_each_cpu([&](Cpu& dev) {
      std::vector<T> y(batch * C), dx(batch * sample, T(-77)), more(old);
      const In<T, Batch, C> dy_(dy.data(), batch);
      global_avg_pool_forward(dev, In<T, Batch, H, W, C>(x.data(), batch), Out<T, Batch, C>(y.data(), batch));
      CHECK(difference(y, want, 0, off) == "");
      global_avg_pool_backward(dev, dy_, Into<T, Batch, H, W, C>(dx.data(), batch));
      CHECK(difference(dx, want_dx, 0, once) == "");
      global_avg_pool_backward(dev, dy_, Into<T, Batch, H, W, C>(more.data(), batch, true));
      CHECK(difference(more, sum(old, want_dx), 0, once) == "");
      global_avg_pool_backward(dev, dy_, Into<T, Batch, H, W, C>());
      CHECK((same(dev, y) && same_dx(dev, dx)));
    });
  }
}

}  // namespace

TEST_CASE("global_avg_pool agrees with the reference", "[smoke]") {
  agrees<float, 1, 1, 1>();
  agrees<float, 7, 7, 17>();
  agrees<double, 3, 5, 7>();
}

TEST_CASE("global_avg_pool agrees with the reference for few and many channels, tall and wide images") {
  agrees<float, 8, 8, 64>();
  agrees<float, 28, 28, 1>();
  agrees<float, 37, 1, 8>();
  agrees<float, 1, 41, 33>();
}
