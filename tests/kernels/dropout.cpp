// Dropout: the mask is a function of key, position and element; its rate is right; the gradient has the same mask.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/dropout.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/dropout.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

const random::Key key{0x123456789abcdefull, random::Use::dropout, 7, 42};

template <class T, int N>
void agrees(int batch, std::uint64_t first, int num, int den) {
  INFO("batch " << batch << ", sample " << N << ", first " << first << ", rate " << num << "/" << den);
  const std::size_t n = static_cast<std::size_t>(batch) * N;
  const auto x = numbers<T>(n, 1, 1, 2), old = numbers<T>(n, 2);
  std::vector<double> want(n), want_added(n);
  for (std::size_t i = 0; i < n; ++i) {
    const bool kept = kernels::ref::kept(key, first + i / N, static_cast<std::uint32_t>(i % N), num, den);
    want[i] = kept ? static_cast<double>(x[i]) * den / (den - num) : 0;
    want_added[i] = old[i] + want[i];
  }
  SameBits same;
  for_each_cpu([&](Cpu& dev) {
    Guarded<T> y(n), dx(n), added(old), in_place(x);
    dropout_forward(dev, key, first, In<T, Batch, N>(x.data(), batch), num, den, Out<T, Batch, N>(y.data(), batch));
    CHECK(difference(y, want, 1e-6) == "");
    CHECK(same(dev, y));
    dropout_backward(dev, key, first, In<T, Batch, N>(x.data(), batch), num, den, Into<T, Batch, N>(dx.data(), batch));
    CHECK(same(dev, dx));
    dropout_backward(dev, key, first, In<T, Batch, N>(x.data(), batch), num, den,
                     Into<T, Batch, N>(added.data(), batch, true));
    CHECK(difference(added, want_added, 1e-6, 1e-6) == "");
    dropout_backward(dev, key, first, In<T, Batch, N>(x.data(), batch), num, den, Into<T, Batch, N>());
    dropout_forward(dev, key, first, In<T, Batch, N>(in_place.data(), batch), num, den,
                    Out<T, Batch, N>(in_place.data(), batch));
    CHECK(same(dev, in_place));
    CHECK((y.intact() && dx.intact() && added.intact()));
  });
}

}  // namespace

TEST_CASE("dropout drops what the key says, at every length") {
  agrees<float, 1>(17, 0, 1, 2);
  agrees<float, 7>(17, 5, 1, 2);
  agrees<float, 31>(17, 5, 1, 4);
  agrees<float, 32>(17, 5, 1, 3);
  agrees<float, 33>(17, 0xfffffffdull, 9, 10);  // positions beyond 32 bits
  agrees<float, 100>(1, 59999, 1, 10);
  agrees<float, 5000>(3, 1, 1, 2);
  agrees<float, 10>(1000, 0, 0, 1);
  agrees<double, 33>(17, 5, 1, 3);
}

TEST_CASE("the mask does not depend on the slot in the batch") {
  const std::vector<float> x(40 * 50, 1);
  Cpu dev;
  std::vector<float> whole(40 * 50), part(10 * 50);
  dropout_forward(dev, key, 100, In<float, Batch, 50>(x.data(), 40), 1, 2, Out<float, Batch, 50>(whole.data(), 40));
  dropout_forward(dev, key, 123, In<float, Batch, 50>(x.data(), 10), 1, 2, Out<float, Batch, 50>(part.data(), 10));
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 23 * 50));
}

TEST_CASE("the rate of dropping is as asked, and masks of steps, layers and positions differ") {
  constexpr int n = 100000;
  const std::vector<float> x(n, 1);
  const auto mask = [&](random::Key k, std::uint64_t first, int num, int den) {
    Cpu dev;
    std::vector<float> y(n);
    dropout_forward(dev, k, first, In<float, Batch, 100>(x.data(), n / 100), num, den,
                    Out<float, Batch, 100>(y.data(), n / 100));
    return y;
  };
  for (const int tenths : {1, 3, 5, 9}) {
    const auto y = mask(key, 0, tenths, 10);
    const double dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0f)) / n, p = tenths / 10.0;
    CHECK(std::abs(dropped - p) < 5 * std::sqrt(p * (1 - p) / n));
  }
  const auto base = mask(key, 0, 1, 2);
  random::Key other_step = key, other_layer = key, other_seed = key;
  ++other_step.step;
  ++other_layer.layer;
  ++other_seed.seed;
  for (const auto& y :
       {mask(other_step, 0, 1, 2), mask(other_layer, 0, 1, 2), mask(other_seed, 0, 1, 2), mask(key, n, 1, 2)}) {
    int same = 0;
    for (int i = 0; i < n; ++i) same += (y[i] != 0) == (base[i] != 0);
    CHECK(std::abs(same - n / 2) < 5 * std::sqrt(n / 4.0));
  }
}
