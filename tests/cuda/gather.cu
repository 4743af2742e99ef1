// Gathering: order, augmentation, normalisation and layout against the reference, pixel by pixel, and to the bit against
// the CPU; and from the cursor of a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/gather.cuh"

#include "cuda/recorded.hpp"
#include "tenon/cpu/gather.hpp"
#include "tenon/ref/gather.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

const double mean[3] = {0.2860, 0.5, 0.4}, deviation[3] = {0.3530, 0.25, 0.2};
constexpr std::uint64_t count = 50, first = 11;

std::vector<std::uint8_t> some_pixels(std::size_t sample) {
  std::vector<std::uint8_t> pixels(count * sample);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 13);
  return pixels;
}
Order some_order(bool shuffled, std::uint32_t epoch) {
  return shuffled ? Order::shuffle(count, {3, random::Use::shuffle, 0, epoch}) : Order::sequential();
}
Augmentation some_changes(bool shift, bool flip, std::uint32_t epoch) {
  return {shift, flip, {3, random::Use::augment, 0, epoch}};
}

template <class T, int H, int W, int C>
void agrees(bool planar_set, bool planar_batch, bool shift, bool flip, int batch, bool shuffled, std::size_t offset) {
  INFO(H << " x " << W << " x " << C << ", batch " << batch << (planar_set ? ", planar set" : "")
         << (planar_batch ? ", planar batch" : "") << (shift ? ", shift" : "") << (flip ? ", flip" : "")
         << (shuffled ? ", shuffled" : "") << ", offset " << offset);
  constexpr int sample = H * W * C;
  const auto pixels = some_pixels(sample);
  const Images on_host{pixels.data(), static_cast<std::int64_t>(count), H, W, C, planar_set};
  const Order order = some_order(shuffled, 1);
  const Augmentation augmentation = some_changes(shift, flip, 1);

  std::vector<double> want(static_cast<std::size_t>(batch) * sample);
  for (int b = 0; b < batch; ++b)
    for (int i = 0; i < H; ++i)
      for (int j = 0; j < W; ++j)
        for (int k = 0; k < C; ++k)
          want[static_cast<std::size_t>(b * sample + (planar_batch ? (k * H + i) * W + j : (i * W + j) * C + k))] =
              kernels::ref::gathered(on_host, order(first + b), augmentation.draw(first + b), mean[k], deviation[k], i,
                                     j, k);
  OnDevice<std::uint8_t> bytes(pixels, offset);
  Images from = on_host;
  from.pixels = bytes.data();
  OnDevice<T> x(want.size(), -77, offset);
  const auto normalisation = Normalisation<T>::from(mean, deviation, C);
  gather_images(cuda(), from, order, first, augmentation, normalisation, Out<T, Batch, H, W, C>(x.data(), batch),
                planar_batch);
  CHECK(difference(x.read(), want, 0, sizeof(T) == 4 ? 1e-6 : 1e-14) == "");
  CHECK(x.intact());

  if (detect_isa() != Isa::avx2) return;
  Cpu cpu;
  std::vector<T> same(want.size());
  gather_images(cpu, on_host, order, first, augmentation, normalisation, Out<T, Batch, H, W, C>(same.data(), batch),
                planar_batch);
  CHECK(x.read() == same);
}

template <class T, int H, int W, int C>
void agrees() {
  for (const int batch : {1, 17})
    for (const bool shift : {false, true})
      for (const bool flip : {false, true})
        for (const std::size_t offset : {0u, 3u}) {
          agrees<T, H, W, C>(false, false, shift, flip, batch, true, offset);
          if (C == 1) continue;
          agrees<T, H, W, C>(true, false, shift, flip, batch, false, offset);
          agrees<T, H, W, C>(true, true, shift, flip, batch, true, offset);
          agrees<T, H, W, C>(false, true, shift, flip, batch, false, offset);
        }
}

}  // namespace

TEST_CASE("cuda: gather_images agrees with the reference, and with the CPU to the bit") {
  agrees<float, 28, 28, 1>();
  agrees<float, 8, 8, 3>();
  agrees<float, 5, 11, 3>();
  agrees<float, 3, 13, 1>();
  agrees<float, 7, 2, 1>();  // a shift may leave nothing
  agrees<float, 2, 3, 2>();
  agrees<float, 1, 1, 1>();
  agrees<float, 32, 33, 1>();  // more than the block's threads make at once
  agrees<double, 6, 9, 3>();
  agrees<double, 4, 4, 1>();
}

TEST_CASE("cuda: gathering gives the same bits in every order, and where the batch was cut") {
  OnDevice<std::uint8_t> pixels(some_pixels(20));
  const Images from{pixels.data(), static_cast<std::int64_t>(count), 4, 5, 1, false};
  const Order order = some_order(true, 4);
  const Augmentation augmentation = some_changes(true, true, 4);
  OnDevice<float> whole(std::size_t{50 * 20}), part(std::size_t{7 * 20});
  CHECK(same_bits_always([&] {
    gather_images(cuda(), from, order, 0, augmentation, {}, Out<float, Batch, 20>(whole.data(), 50));
    return whole.read();
  }));
  gather_images(cuda(), from, order, 40, augmentation, {}, Out<float, Batch, 20>(part.data(), 7));
  const auto all = whole.read(), some = part.read();
  CHECK(std::equal(some.begin(), some.end(), all.begin() + 40 * 20));
}

TEST_CASE("cuda: labels follow the same order as images, alone or with them") {
  std::vector<std::uint8_t> bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  const Order order = Order::shuffle(1000, {1, random::Use::shuffle, 0, 0});
  OnDevice<std::uint8_t> labels(bytes);
  OnDevice<std::int32_t> y(std::size_t{1000}), together(std::size_t{300});
  OnDevice<float> x(std::size_t{300});
  gather_labels(cuda(), labels.data(), order, 0, y.span());
  gather_batch<float>(cuda(), Images{labels.data(), 1000, 1, 1, 1, false}, labels.data(), order, 500, {}, {},
                      Out<float, Batch, 1>(x.data(), 300), together.data());
  const auto all = y.read(), some = together.read();
  for (std::size_t b = 0; b < 1000; ++b) CHECK(all[b] == bytes[order(b)]);
  CHECK(std::equal(some.begin(), some.end(), all.begin() + 500));
  CHECK((y.intact() && together.intact()));
  gather_labels(cuda(), labels.data(), Order::sequential(), 30, {y.data(), 5});
  CHECK((y.read()[0] == 210 && y.read()[4] == (34 * 7) % 256 && y.read()[5] == all[5]));
}

TEST_CASE("cuda: what a recorded step gathers is said by memory when it is replayed") {
  constexpr int batch = 9;
  OnDevice<std::uint8_t> pixels(some_pixels(36)), others(some_pixels(36), 1), labels(some_pixels(1));
  kernels::CudaBuffer<ImageSource<float>> at(1);
  OnDevice<float> want(std::size_t{batch * 36}), x(std::size_t{batch * 36});
  OnDevice<std::int32_t> want_y(std::size_t{batch}), y(std::size_t{batch});
  const Recorded step({31, 1, 5, 0.1, 1, 0, 0});
  const auto n = static_cast<std::int64_t>(count);
  for (const ImageSource<float>& source :
       {ImageSource<float>{{pixels.data(), n, 6, 6, 1, false}, labels.data(), some_order(true, 5), {}, {}},
        ImageSource<float>{{others.data(), n - 7, 4, 3, 3, false},  // not aligned
                           labels.data(),
                           Order::shuffle(count - 7, {1, random::Use::shuffle, 0, 5}),
                           some_changes(true, true, 5),
                           Normalisation<float>::from(mean, deviation, 3)},
        ImageSource<float>{{pixels.data(), n, 4, 3, 3, true}, nullptr, Order::sequential(), {}, {}}}) {
    gather_batch(cuda(), source.images, source.labels, source.order, 0, source.augmentation, source.normalisation,
                 Out<float, Batch, 36>(want.data(), batch), source.labels ? want_y.data() : nullptr, true);
    if (!source.labels) fill_zeros(cuda(), want_y.data(), batch);
    upload(cuda(), &source, at.data(), 1);
    gather_recorded(cuda(), std::as_const(at).data(), Out<float, Batch, 36>(x.data(), batch), y.data());
    CHECK(x.read() == want.read());
    CHECK(y.read() == want_y.read());
    CHECK((x.intact() && y.intact()));
  }
}

TEST_CASE("cuda: a recorded step gathers at the cursor's position, in its epoch's order") {
  constexpr int batch = 9;
  OnDevice<std::uint8_t> pixels(some_pixels(36)), labels(some_pixels(1));
  const Images from{pixels.data(), static_cast<std::int64_t>(count), 6, 6, 1, false};
  for (const bool shuffled : {false, true})
    for (const std::uint32_t epoch : {0u, 5u}) {
      INFO("shuffled " << shuffled << ", epoch " << epoch);
      OnDevice<float> want(std::size_t{batch * 36}), x(std::size_t{batch * 36});
      OnDevice<std::int32_t> want_y(std::size_t{batch}), y(std::size_t{batch});
      const auto both = [&](std::uint32_t e, std::uint64_t from_position, OnDevice<float>& to, auto& to_y) {
        gather_images(cuda(), from, some_order(shuffled, e), from_position, some_changes(true, true, e), {},
                      Out<float, Batch, 36>(to.data(), batch));
        gather_labels(cuda(), labels.data(), some_order(shuffled, e), from_position, to_y.span());
      };
      both(epoch, 31, want, want_y);
      const Recorded step({31, 1, epoch, 0.1, 1, 0, 0});
      both(77, 3, x, y);
      CHECK(x.read() == want.read());
      CHECK(y.read() == want_y.read());
    }
}

TEST_CASE("cuda: images of another size than the input are refused") {
  OnDevice<float> x(std::size_t{20});
  CHECK_THROWS_WITH(
      gather_images(cuda(), Images{nullptr, 1, 3, 4, 1, false}, {}, 0, {}, {}, Out<float, Batch, 20>(x.data(), 1)),
      "[gather_images] expected images of 20 values and at most 4 channels, got 3 x 4 x 1");
}
