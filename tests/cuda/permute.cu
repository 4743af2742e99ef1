// Channels-last and channels-first: every value moves to its place, and adds there if asked.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/permute.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/permute.hpp"

using namespace tenon;
using namespace tenon::tests;

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
  OnDevice<T> dx(x, offset), y(size), z(size), more(old), more_back(old);
  CHECK(same_bits_always([&] {
    to_channels_first(cuda(), In<T, Batch, H, W, C>(dx.data(), batch), First(y.data(), batch));
    return y.read();
  }));
  CHECK(y.read() == planar);
  CHECK(same_bits_always([&] {
    to_channels_last(cuda(), In<T, Batch, C, H, W>(y.data(), batch), Last(z.data(), batch));
    return z.read();
  }));
  CHECK(z.read() == x);
  to_channels_first(cuda(), In<T, Batch, H, W, C>(dx.data(), batch), First(more.data(), batch, true));
  CHECK(more.read() == added);
  to_channels_last(cuda(), In<T, Batch, C, H, W>(y.data(), batch), Last(more_back.data(), batch, true));
  CHECK(more_back.read() == back);
  to_channels_first(cuda(), In<T, Batch, H, W, C>(dx.data(), batch), First());  // nobody asks
  to_channels_last(cuda(), In<T, Batch, C, H, W>(y.data(), batch), Last());
  CHECK((y.intact() && z.intact() && more.intact() && more_back.intact()));
}

}  // namespace

TEST_CASE("cuda: permute by tiles: one, part of one, one and one more, several each way") {
  moves<float, 4, 8, 32>(2);
  moves<float, 3, 4, 12>(3);
  moves<float, 7, 7, 32>(2);
  moves<float, 4, 4, 33>(1);
  moves<float, 13, 5, 67>(2);
  moves<double, 5, 7, 33>(2);
}

TEST_CASE("cuda: permute of few channels or few pixels") {
  for (const int batch : {1, 2, 17}) {
    moves<float, 3, 5, 7>(batch);
    moves<double, 3, 3, 9>(batch);
  }
  moves<float, 3, 3, 17>(3);
  moves<float, 37, 1, 3>(2);
  moves<float, 17, 17, 3>(2);
  moves<float, 2, 1, 3>(700);
  moves<double, 2, 2, 129>(2);
}

TEST_CASE("cuda: permute of one channel or one pixel is a copy") {
  moves<float, 1, 1, 1>(1);
  moves<float, 14, 14, 1>(3);
  moves<float, 1, 1, 129>(3);
  moves<float, 5, 5, 1>(3, 1);
  moves<double, 1, 1, 5>(7);
}
