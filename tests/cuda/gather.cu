// tests/kernels/gather.hpp on Cuda; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/gather.cuh"

#include "cuda/support.hpp"
#include "tenon/cuda/recorder.cuh"

using Device = tenon::Cuda;

// Whether the multiplication and addition of adjacent floats are rounded once (fma), as in the Cpu's vector code.
static bool rounds_once(const tenon::Cuda&) { return true; }

#include "kernels/gather.hpp"

TEST_CASE("cuda: a recorded gather_batch reads the source and the step that it is replayed with") {
  constexpr int batch = 9;
  OnDevice<std::uint8_t> pixels(some_pixels(36)), others(some_pixels(36), 1), labels(some_pixels(1));
  OnDevice<float> want(std::size_t{batch * 36}), x(std::size_t{batch * 36});
  OnDevice<std::int32_t> want_y(std::size_t{batch}), y(std::size_t{batch});
  One<kernels::ImageSource<float>> source(cuda());
  One<StepState> step(cuda());
  const auto gather = [&](OnDevice<float>& to, OnDevice<std::int32_t>& to_y) {
    gather_batch(cuda(), source, step, Pass::training, Out<float, Batch, 36>(to.data(), batch), to_y.data(), true);
  };
  const auto graph = capture(cuda(), [&] { gather(x, y); });
  auto plain = source_of<float>(pixels.data(), 6, 6, 1);
  plain.labels = labels.data();
  auto changed = source_of<float>(others.data(), 4, 3, 3);  // not aligned
  changed.size = changed.images.count = count - 7;
  changed.labels = labels.data();
  changed.shift = changed.flip = true;
  changed.normalisation = kernels::Normalisation<float>::from(mean, deviation, 3);
  const auto unlabelled = source_of<float>(pixels.data(), 4, 3, 3, true);
  for (const auto& s : {plain, changed, unlabelled})
    for (const std::uint32_t epoch : {0u, 5u}) {
      source.write(s);
      step.write(some_step(31, epoch));
      gather(want, want_y);
      replay(cuda(), graph);
      CHECK(x.read() == want.read());
      CHECK(y.read() == want_y.read());
      CHECK((x.intact() && y.intact()));
    }
}

TEST_CASE("cuda: a recorded gather_rows reads the source and the step that it is replayed with") {
  constexpr int batch = 5, values = 3;
  OnDevice<float> rows(numbers<float>(count * values, 1)), others(numbers<float>(count * values, 2));
  OnDevice<std::int32_t> targets(std::vector<std::int32_t>(count, 4));
  OnDevice<float> want(std::size_t{batch * values}), x(std::size_t{batch * values});
  OnDevice<std::int32_t> want_y(std::size_t{batch}), y(std::size_t{batch});
  using Source = kernels::RowSource<float, std::int32_t>;
  One<Source> source(cuda());
  One<StepState> step(cuda());
  const auto gather = [&](OnDevice<float>& to, OnDevice<std::int32_t>& to_y) {
    gather_rows(cuda(), source, step, Pass::training, Out<float, Batch, values>(to.data(), batch), to_y.data(), 1);
  };
  const auto graph = capture(cuda(), [&] { gather(x, y); });
  std::vector<float> before;
  for (const Source& s :
       {Source{rows.data(), targets.data(), count, values, 1}, Source{others.data(), nullptr, count - 9, values, 1}})
    for (const std::uint32_t epoch : {0u, 5u}) {
      source.write(s);
      step.write(some_step(31, epoch));
      gather(want, want_y);
      replay(cuda(), graph);
      CHECK(x.read() == want.read());
      CHECK(y.read() == want_y.read());
      CHECK(x.read() != before);
      before = x.read();
    }
}
