// Gathering: order, augmentation, normalization and layout of images against the reference, pixel by pixel, and bit for
// bit against one multiplication and one addition; rows of values and targets. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <set>

#include "kernels/on_device.hpp"
#include "tenon/ref/gather.hpp"

namespace {

const double mean[3] = {0.2860, 0.5, 0.4}, deviation[3] = {0.3530, 0.25, 0.2};
constexpr std::uint64_t count = 50, first = 11;

std::vector<std::uint8_t> some_pixels(std::size_t sample) {
  std::vector<std::uint8_t> pixels(count * sample);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 13);
  return pixels;
}
/// A step at position `at` of the epoch. Members that gathering does not use are not 0.
StepState some_step(std::uint64_t at = first, std::uint32_t epoch = 1) {
  StepState s{0.5, 2, 3, at, 77, epoch};
  s.stopped = 1;
  return s;
}
/// The random keys that the trainer uses. They must not change: a seed must always give the same training.
kernels::Order some_order(Pass pass, std::uint64_t n = count, std::uint32_t epoch = 1) {
  if (pass == Pass::evaluation) return {};
  return {true, {{3, random::Use::shuffle, 0, epoch}, n}};
}
kernels::Augmentation some_changes(Pass pass, bool shift, bool flip, std::uint32_t epoch = 1) {
  if (pass == Pass::evaluation) return {};
  return {shift, flip, {3, random::Use::augment, 0, epoch}};
}

/// A source of `count` images of shape (h, w, c) with these pixels.
template <class T>
kernels::ImageSource<T> source_of(const std::uint8_t* pixels, int h, int w, int c, bool planar = false) {
  kernels::ImageSource<T> s{};
  s.images = {pixels, static_cast<std::int64_t>(count), h, w, c, planar};
  s.size = count;
  return s;
}

template <class T, int H, int W, int C>
void agrees(bool planar_set, bool planar_batch, bool shift, bool flip, int batch, Pass pass, std::size_t offset) {
  INFO(H << " x " << W << " x " << C << ", batch " << batch << (planar_set ? ", planar set" : "")
         << (planar_batch ? ", planar batch" : "") << (shift ? ", shift" : "") << (flip ? ", flip" : "")
         << (pass == Pass::training ? ", training" : "") << ", offset " << offset);
  constexpr int sample = H * W * C;
  const auto pixels = some_pixels(sample);
  auto source = source_of<T>(pixels.data(), H, W, C, planar_set);
  source.shift = shift;
  source.flip = flip;
  source.normalisation = kernels::Normalisation<T>::from(mean, deviation, C);
  const kernels::Order order = some_order(pass);
  const kernels::Augmentation augmentation = some_changes(pass, shift, flip);
  const bool side_by_side = C == 1 || planar_set;

  const std::size_t n = static_cast<std::size_t>(batch) * sample;
  std::vector<double> want(n);
  std::vector<T> rounded_once(n), rounded_twice(n);
  std::vector<std::int32_t> want_labels(static_cast<std::size_t>(batch));
  for (int b = 0; b < batch; ++b) {
    const std::uint64_t position = first + static_cast<std::uint64_t>(b), index = order(position);
    want_labels[static_cast<std::size_t>(b)] = pixels[index];
    const auto drawn = augmentation.draw(position);
    for (int i = 0; i < H; ++i)
      for (int j = 0; j < W; ++j)
        for (int k = 0; k < C; ++k) {
          const std::size_t at =
              static_cast<std::size_t>(b * sample + (planar_batch ? (k * H + i) * W + j : (i * W + j) * C + k));
          want[at] = kernels::ref::gathered(source.images, index, drawn, mean[k], deviation[k], i, j, k);
          const T pixel =
              static_cast<T>(std::lround(255 * kernels::ref::gathered(source.images, index, drawn, 0, 1, i, j, k)));
          const T scale = source.normalisation.scale[k], shifted = source.normalisation.offset[k];
          rounded_once[at] = std::fma(pixel, scale, shifted);
          rounded_twice[at] = pixel * scale + shifted;
        }
  }
  Ways<Device>::each([&](Device& dev) {
    Memory<std::uint8_t> bytes(pixels, offset);
    Memory<T> x(n, -77, offset);
    Memory<std::int32_t> labels(want_labels.size());
    source.images.pixels = bytes.data();
    source.labels = bytes.data();
    gather_batch(dev, One<kernels::ImageSource<T>>(dev, source), One<StepState>(dev, some_step()), pass,
                 Out<T, Batch, H, W, C>(x.data(), batch), labels.data(), planar_batch);
    CHECK(difference(x.read(), want, 0, sizeof(T) == 4 ? 1e-6 : 1e-14) == "");
    CHECK((x.read() == (sizeof(T) == 4 && side_by_side && rounds_once(dev) ? rounded_once : rounded_twice)));
    CHECK((labels.read() == want_labels));
    CHECK((x.intact() && labels.intact()));
  });
}

template <class T, int H, int W, int C>
void agrees() {
  for (const int batch : {1, 2, 17})
    for (const bool shift : {false, true})
      for (const bool flip : {false, true})
        for (const std::size_t offset : {0u, 3u}) {
          agrees<T, H, W, C>(false, false, shift, flip, batch, Pass::training, offset);
          if (shift && flip) agrees<T, H, W, C>(false, true, shift, flip, batch, Pass::evaluation, offset);
          if (C == 1) continue;
          agrees<T, H, W, C>(true, false, shift, flip, batch, Pass::training, offset);
          agrees<T, H, W, C>(true, true, shift, flip, batch, Pass::training, offset);
          agrees<T, H, W, C>(false, true, shift, flip, batch, Pass::training, offset);
        }
}

/// Checks rows of I values and `width` targets, with device memory `offset` values off its alignment.
template <class T, class Target, int I>
void rows_agree(int batch, int width, Pass pass, std::size_t offset) {
  INFO("batch " << batch << ", " << I << " values, " << width << " targets, training " << (pass == Pass::training)
                << ", offset " << offset);
  const std::size_t rows = static_cast<std::size_t>(batch), targets_each = static_cast<std::size_t>(width);
  const auto values = numbers<T>(count * I, 1);
  std::vector<Target> targets(count * targets_each);
  for (std::size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<Target>(i * 7);
  std::vector<T> want;
  std::vector<Target> want_targets;
  for (std::size_t b = 0; b < rows; ++b) {
    const auto at = static_cast<std::ptrdiff_t>(some_order(pass)(first + b));
    want.insert(want.end(), values.begin() + at * I, values.begin() + (at + 1) * I);
    want_targets.insert(want_targets.end(), targets.begin() + at * width, targets.begin() + (at + 1) * width);
  }
  Ways<Device>::each([&](Device& dev) {
    Memory<T> from(values, offset), x(want.size(), T(-77), offset);
    Memory<Target> from_targets(targets), y(want_targets.size());
    kernels::RowSource<T, Target> source{from.data(), from_targets.data(), count, I, width};
    const One<StepState> step(dev, some_step());
    One<kernels::RowSource<T, Target>> at(dev, source);
    gather_rows(dev, at, step, pass, Out<T, Batch, I>(x.data(), batch), y.data(), width);
    CHECK((x.read() == want));
    CHECK((y.read() == want_targets));
    source.targets = nullptr;
    at.write(source);
    gather_rows(dev, at, step, pass, Out<T, Batch, I>(x.data(), batch), y.data(), width);
    CHECK((y.read() == std::vector<Target>(want_targets.size())));
    CHECK((x.read() == want));
    CHECK((x.intact() && y.intact()));
  });
}

template <class T, class Target, int I>
void rows_agree(int width) {
  for (const int batch : {1, 7, 8, 9, 33})
    for (const Pass pass : {Pass::training, Pass::evaluation})
      for (const std::size_t offset : {0u, 1u}) rows_agree<T, Target, I>(batch, width, pass, offset);
}

}  // namespace

TEST_CASE("gather_batch agrees with the reference") {
  agrees<float, 28, 28, 1>();
  agrees<float, 8, 8, 3>();
  agrees<float, 5, 11, 3>();
  agrees<float, 3, 13, 1>();
  agrees<float, 7, 2, 1>();  // a shift may move the whole image out
  agrees<float, 2, 3, 2>();
  agrees<float, 1, 1, 1>();
  agrees<float, 32, 33, 1>();  // on Cuda more than the threads of a block compute at once
  agrees<double, 6, 9, 3>();
  agrees<double, 4, 4, 1>();
}

TEST_CASE("gather_rows takes the rows that the order says") {
  rows_agree<float, std::int32_t, 1>(1);
  rows_agree<float, std::int32_t, 4>(1);
  rows_agree<float, float, 33>(5);
  rows_agree<float, float, 3>(40);
  rows_agree<double, double, 7>(2);
  rows_agree<float, std::int32_t, 1024>(1);
  rows_agree<float, std::int32_t, 1025>(1);  // on Cuda one block per row
}

TEST_CASE("a batch does not depend on where it was cut") {
  Memory<std::uint8_t> pixels(some_pixels(20));
  auto source = source_of<float>(pixels.data(), 4, 5, 1);
  source.shift = source.flip = true;
  Ways<Device>::each([&](Device& dev) {
    const One<kernels::ImageSource<float>> at(dev, source);
    Memory<float> whole(50 * 20), part(7 * 20);
    gather_batch(dev, at, One<StepState>(dev, some_step(0)), Pass::training, Out<float, Batch, 20>(whole.data(), 50),
                 nullptr);
    gather_batch(dev, at, One<StepState>(dev, some_step(43)), Pass::training, Out<float, Batch, 20>(part.data(), 7),
                 nullptr);
    const auto all = whole.read();
    CHECK(part.read() == std::vector<float>(all.begin() + 43 * 20, all.end()));
  });
}

TEST_CASE("an epoch has each sample of the set once, and another order than the one before") {
  std::vector<std::uint8_t> bytes(250);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  Memory<std::uint8_t> memory(bytes);
  auto source = source_of<float>(memory.data(), 1, 1, 1);
  source.labels = memory.data();
  for (const std::uint64_t size : {250u, 97u}) {  // the number of images, and the number of them that are used
    source.size = size;
    const int batch = static_cast<int>(size);
    Ways<Device>::each([&](Device& dev) {
      const One<kernels::ImageSource<float>> at(dev, source);
      Memory<float> x(size);
      Memory<std::int32_t> y(size);
      const auto epoch = [&](std::uint32_t e, Pass pass) {
        gather_batch(dev, at, One<StepState>(dev, some_step(0, e)), pass, Out<float, Batch, 1>(x.data(), batch),
                     y.data());
        return y.read();
      };
      const auto in_order = epoch(0, Pass::evaluation), one = epoch(0, Pass::training), two = epoch(1, Pass::training);
      for (std::uint64_t b = 0; b < size; ++b)
        if (in_order[b] != static_cast<std::int32_t>(b) ||
            one[b] != static_cast<std::int32_t>(some_order(Pass::training, size, 0)(b)))
          FAIL("at " << b << ": " << in_order[b] << " and " << one[b]);
      CHECK((one != two && one != in_order));
      CHECK(std::set<std::int32_t>(one.begin(), one.end()).size() == size);
      CHECK(std::set<std::int32_t>(two.begin(), two.end()).size() == size);
      CHECK((x.intact() && y.intact()));
    });
  }
}

TEST_CASE("labels of a set without labels are 0") {
  Memory<std::uint8_t> pixels(some_pixels(1));
  Ways<Device>::each([&](Device& dev) {
    Memory<float> x(5);
    Memory<std::int32_t> y(5);
    gather_batch(dev, One<kernels::ImageSource<float>>(dev, source_of<float>(pixels.data(), 1, 1, 1)),
                 One<StepState>(dev, some_step(0)), Pass::training, Out<float, Batch, 1>(x.data(), 5), y.data());
    CHECK(y.read() == std::vector<std::int32_t>(5, 0));
    CHECK(y.intact());
  });
}
