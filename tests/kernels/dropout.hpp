// Dropout: the mask is a function of seed, layer, step, position and element, bit for bit on every device; its rate is
// correct; the gradient uses the same mask. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/dropout.hpp"

namespace {

constexpr std::uint32_t layer = 7;
const random::Key key{0x123456789abcdefull, random::Use::dropout, layer, 42};

/// The state of step k.step at position `first` of the epoch. Members that dropout does not use are not 0.
StepState state_of(const random::Key& k, std::uint64_t first) {
  StepState s{0.5, 3, k.seed, first, k.step};
  s.epoch = 8;
  s.stopped = 1;
  return s;
}

/// The expected bits: the mask and one multiplication.
template <class T>
std::vector<T> dropped(const random::Key& k, std::uint64_t first, int sample, const std::vector<T>& x, int num,
                       int den) {
  std::vector<T> y(x.size());
  const std::size_t n = static_cast<std::size_t>(sample);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (kernels::ref::kept(k, first + i / n, static_cast<std::uint32_t>(i % n), num, den))
      y[i] = x[i] * static_cast<T>(static_cast<double>(den) / (den - num));
  return y;
}

template <int N, class T>
void drop(Device& dev, const random::Key& k, std::uint64_t first, Memory<T>& x, int num, int den, Memory<T>& y) {
  const int batch = static_cast<int>(x.size() / N);
  dropout_forward(dev, One<StepState>(dev, state_of(k, first)), k.layer, In<T, Batch, N>(x.data(), batch), num, den,
                  Out<T, Batch, N>(y.data(), batch));
}
template <int N, class T>
void drop_back(Device& dev, const random::Key& k, std::uint64_t first, Memory<T>& dy, int num, int den, Memory<T>& dx,
               bool add = false) {
  const int batch = static_cast<int>(dy.size() / N);
  dropout_backward(dev, One<StepState>(dev, state_of(k, first)), k.layer, In<T, Batch, N>(dy.data(), batch), num, den,
                   Into<T, Batch, N>(dx.data(), batch, add));
}

template <class T, int N>
void agrees(int batch, std::uint64_t first, int num, int den, std::size_t offset = 0) {
  INFO("batch " << batch << ", sample " << N << ", first " << first << ", rate " << num << "/" << den << ", offset "
                << offset);
  const std::size_t n = static_cast<std::size_t>(batch) * N;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  const auto x = numbers<T>(n, 1, 1, 2), old = numbers<T>(n, 2), want = dropped(key, first, N, x, num, den);
  Ways<Device>::each([&](Device& dev) {
    Memory<T> from(x, offset), y(n), dx(n), added(old), in_place(x, offset);
    drop<N>(dev, key, first, from, num, den, y);
    CHECK((y.read() == want));
    drop_back<N>(dev, key, first, from, num, den, dx);
    CHECK((dx.read() == want));
    drop_back<N>(dev, key, first, from, num, den, added, true);
    CHECK(difference(added.read(), sum(old, widen(want)), tolerance, tolerance) == "");
    dropout_backward(dev, One<StepState>(dev), layer, In<T, Batch, N>(from.data(), batch), num, den,
                     Into<T, Batch, N>());  // the gradient is omitted
    drop<N>(dev, key, first, in_place, num, den, in_place);
    CHECK((in_place.read() == want));
    CHECK((y.intact() && dx.intact() && added.intact() && in_place.intact()));
  });
}

}  // namespace

TEST_CASE("dropout drops what the key says, at every length") {
  agrees<float, 1>(17, 0, 1, 2);
  agrees<float, 7>(17, 5, 1, 2);
  agrees<float, 31>(17, 5, 1, 4);
  agrees<float, 32>(17, 5, 1, 3);
  agrees<float, 32>(17, 5, 1, 3, 1);
  agrees<float, 33>(17, 0xfffffffdull, 9, 10);  // positions beyond 32 bits
  agrees<float, 100>(1, 59999, 1, 10);
  agrees<float, 1028>(3, 1, 1, 2);
  agrees<float, 5000>(3, 1, 1, 2);
  agrees<float, 10>(1000, 0, 0, 1);
  agrees<double, 12>(17, 5, 1, 3);
  agrees<double, 12>(17, 5, 1, 3, 1);
  agrees<double, 33>(17, 5, 1, 3);
}

TEST_CASE("dropout of a sample with more than 2^16 fours drops what the key says") {
  constexpr int n = 4 * 65536 + 22;
  const std::vector<float> ones(n, 1), want = dropped(key, 3, n, ones, 1, 2);
  Ways<Device>::each([&](Device& dev) {
    Memory<float> x(ones), y(n);
    drop<n>(dev, key, 3, x, 1, 2, y);
    CHECK((y.read() == want));
  });
}

TEST_CASE("the mask does not depend on the slot in the batch") {
  Device dev = device<Device>();
  Memory<float> x(40 * 50, 1), y(40 * 50), some(10 * 50, 1), part(10 * 50);
  drop<50>(dev, key, 100, x, 1, 2, y);
  drop<50>(dev, key, 123, some, 1, 2, part);
  const auto whole = y.read();
  CHECK(part.read() == std::vector<float>(whole.begin() + 23 * 50, whole.begin() + 33 * 50));
}

TEST_CASE("the rate of dropping is as asked, and masks of steps, layers and positions differ") {
  Device dev = device<Device>();
  constexpr int n = 100000;
  Memory<float> x(n, 1), y(n);
  const auto mask = [&](random::Key k, std::uint64_t first, int num, int den) {
    drop<100>(dev, k, first, x, num, den, y);
    return y.read();
  };
  for (const int tenths : {1, 3, 5, 9}) {
    const auto got = mask(key, 0, tenths, 10);
    const double zeros = static_cast<double>(std::count(got.begin(), got.end(), 0.0f)) / n, p = tenths / 10.0;
    CHECK(std::abs(zeros - p) < 5 * std::sqrt(p * (1 - p) / n));
  }
  const auto base = mask(key, 0, 1, 2);
  random::Key other_step = key, other_layer = key, other_seed = key;
  ++other_step.step;
  ++other_layer.layer;
  ++other_seed.seed;
  for (const auto& got :
       {mask(other_step, 0, 1, 2), mask(other_layer, 0, 1, 2), mask(other_seed, 0, 1, 2), mask(key, n, 1, 2)}) {
    int same = 0;
    for (int i = 0; i < n; ++i) same += (got[i] != 0) == (base[i] != 0);
    CHECK(std::abs(same - n / 2) < 5 * std::sqrt(n / 4.0));
  }
}
