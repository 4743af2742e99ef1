// Channels-last and channels-first: every value moves to its place, and adds there if asked.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/permute.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/permute.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, int H, int W, int C>
void moves(int batch) {
  INFO("batch " << batch << ", " << H << " x " << W << " x " << C);
  constexpr int sample = H * W * C;
  const auto x = numbers<T>(batch * sample, 1), old = numbers<T>(batch * sample, 2);
  std::vector<T> planar(x.size()), added(old), back(old);
  for (int n = 0; n < batch; ++n) kernels::ref::permute(&x[n * sample], H * W, C, &planar[n * sample]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    added[i] += planar[i];
    back[i] += x[i];
  }
  for_each_cpu([&](Cpu& dev) {
    std::vector<T> y(x.size()), z(x.size()), more(old), more_back(old);
    to_channels_first(dev, In<T, Batch, H, W, C>(x.data(), batch), Into<T, Batch, C, H, W>(y.data(), batch));
    CHECK(y == planar);
    to_channels_last(dev, In<T, Batch, C, H, W>(y.data(), batch), Into<T, Batch, H, W, C>(z.data(), batch));
    CHECK(z == x);
    to_channels_first(dev, In<T, Batch, H, W, C>(x.data(), batch), Into<T, Batch, C, H, W>(more.data(), batch, true));
    CHECK(more == added);
    to_channels_last(dev, In<T, Batch, C, H, W>(y.data(), batch),
                     Into<T, Batch, H, W, C>(more_back.data(), batch, true));
    CHECK(more_back == back);
    to_channels_first(dev, In<T, Batch, H, W, C>(x.data(), batch), Into<T, Batch, C, H, W>());  // nobody asks
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

TEST_CASE("permute moves tall and wide images, and more samples than a task takes") {
  for (const int batch : {1, 17}) {
    moves<float, 4, 4, 8>(batch);
    moves<float, 3, 3, 17>(batch);
    moves<float, 37, 1, 3>(batch);
    moves<float, 1, 1, 129>(batch);
    moves<float, 28, 28, 1>(batch);
  }
  moves<float, 2, 1, 3>(5000);
  moves<float, 130, 1, 129>(2);
}
