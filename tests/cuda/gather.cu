// tests/kernels/gather.hpp on Cuda; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/gather.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;

// Whether floats that lie side by side are multiplied and added with one rounding, as the Cpu's vectors do it.
static bool rounds_once(const tenon::Cuda&) { return true; }

#include "kernels/gather.hpp"

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
