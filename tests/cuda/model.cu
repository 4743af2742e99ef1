// Model and Trainer on Cuda: the same losses as on the Cpu from the same seed; the same bits every time, recorded or
// step by step, stopped and resumed; files of one device load on the other.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/tenon.hpp>

#include "cuda/support.hpp"
#include "files.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Net = NetOfAll;

const ImageOptions augmented{0.5, 0.25, true, true};

template <class T>
std::vector<T> on_host(const Cuda& dev, Span<T> span) {
  std::vector<T> v(span.size);
  download(dev, span.data, v.data(), v.size());
  return v;
}

struct Course {
  std::vector<double> losses;
  std::vector<float> weights;
};

template <class Device, class Optimizer>
Course steps_of(Device dev, const ImageSet& set, Optimizer optimizer, int epochs, int steps_per_launch) {
  Model<Net, Device> model(Seed{5}, 16, std::move(dev));
  Trainer trainer(model, optimizer, CrossEntropy{},
                  {.schedule = Schedule::one_cycle(30), .clip_norm = 1.0, .steps_per_launch = steps_per_launch});
  const ImageData data(set, augmented);
  Course c;
  for (int e = 0; e < epochs; ++e)
    trainer.epoch(data, [&](const LossSums& s) {
      c.losses.push_back(s.loss());
      return true;
    });
  c.weights.resize(model.parameters().size);
  download(model.device(), model.parameters().data, c.weights.data(), c.weights.size());
  CHECK(model.counters()[0] == static_cast<long long>(trainer.progress().step));
  return c;
}

}  // namespace

TEST_CASE("cuda: a training has the losses of the Cpu") {
  const ImageSet set = quarters(107);  // not a multiple of 16
  const auto check = [&](auto optimizer) {
    const Course cpu = steps_of(Cpu{}, set, optimizer, 2, 1), gpu = steps_of(cuda(), set, optimizer, 2, 1);
    REQUIRE(cpu.losses.size() == 14);
    REQUIRE(gpu.losses.size() == 14);
    for (std::size_t i = 0; i < 8; ++i) CHECK(gpu.losses[i] == Approx(cpu.losses[i]).epsilon(1e-4));
    for (std::size_t i = 0; i < 14; ++i) CHECK(gpu.losses[i] == Approx(cpu.losses[i]).epsilon(1e-2));
  };
  check(AdamW{});
  check(Sgd{0.05, 0.9, true, 1e-3});
}

TEST_CASE("cuda: the same bits every time, and whatever is launched as one") {
  const ImageSet set = quarters(107);
  CHECK(same_bits_always([&] { return steps_of(cuda(), set, AdamW{}, 1, 4).weights; }));
  const auto one = steps_of(cuda(), set, AdamW{}, 2, 1).weights;
  CHECK(steps_of(cuda(), set, AdamW{}, 2, 4).weights == one);
  CHECK(steps_of(cuda(), set, AdamW{}, 2, 64).weights == one);
}

TEST_CASE("cuda: nothing is allocated once a training runs") {
  const ImageSet set = quarters(107), test = quarters(40);
  Model<Net, Cuda> model(Seed{5}, 16, cuda());
  Trainer trainer(model, AdamW{}, CrossEntropy{},
                  {.schedule = Schedule::one_cycle(30), .clip_norm = 1.0, .steps_per_launch = 4});
  const ImageData data(set, augmented), test_data(test, augmented);
  trainer.epoch(data);
  static_cast<void>(trainer.evaluate(test_data));
#if TENON_SIMT
  const std::size_t before = simt::counters().allocations, launches = simt::counters().launches;
#endif
  trainer.epoch(data);
  static_cast<void>(trainer.evaluate(test_data));
#if TENON_SIMT
  CHECK(simt::counters().allocations == before);
  CHECK(simt::counters().launches > launches);
#endif
  CHECK(trainer.progress().epoch == 2);
}

TEST_CASE("cuda: tf32 and bf16 stay as close to fp32 as their factors do") {
  const ImageSet set = quarters(64);
  const Course exact = steps_of(Cuda(CudaMath::fp32), set, Sgd{0.05}, 1, 1);
  const auto apart = [&](CudaMath math) {
    const Course c = steps_of(Cuda(math), set, Sgd{0.05}, 1, 1);
    double worst = 0;
    for (std::size_t i = 0; i < exact.losses.size(); ++i)
      worst = std::max(worst, std::abs(c.losses[i] - exact.losses[i]) / exact.losses[i]);
    return worst;
  };
  const double tf32 = apart(CudaMath::tf32), bf16 = apart(CudaMath::bf16);
  INFO("tf32 " << tf32 << ", bf16 " << bf16);
  CHECK(tf32 > 0);  // the arithmetic differs
  CHECK(tf32 < 5e-3);
  CHECK(bf16 > tf32);
  CHECK(bf16 < 5e-2);
}

TEST_CASE("cuda: evaluation and prediction are those of the Cpu, from the same file") {
  const ImageSet set = quarters(50);
  const ImageData data(set, {0.5, 0.25});
  Model<Net> cpu(Seed{3}, 16, Cpu{});
  Trainer on_cpu(cpu, Adam{3e-3});
  on_cpu.epoch(data);
  Model<Net, Cuda> gpu(Seed{3}, 16, cuda());
  Trainer on_gpu(gpu, Adam{3e-3});
  fill_zeros(cuda(), gpu.parameters().data, gpu.parameters().size);
  const Folder folder;
  const std::string path = folder / "checkpoint";
  save_checkpoint(path, on_cpu);
  load_checkpoint(on_gpu, path);
  CHECK(on_host(cuda(), gpu.parameters()) == std::vector<float>(cpu.parameters().begin(), cpu.parameters().end()));
  CHECK(gpu.counters() == cpu.counters());
  CHECK(on_gpu.evaluate(data).loss() == Approx(on_cpu.evaluate(data).loss()).epsilon(1e-5));
  CHECK(on_gpu.evaluate(data).correct == on_cpu.evaluate(data).correct);

  // Saving again gives the same bytes, and both trainings continue alike.
  save_checkpoint(folder / "again", on_gpu);
  CHECK(read_file(folder / "again") == read_file(path));
  const double next = on_cpu.epoch(data).loss();
  CHECK(on_gpu.epoch(data).loss() == Approx(next).epsilon(1e-3));

  Predictor<Net> here(Weights<Net>::load(path), 7);
  Predictor<Net, Cuda> there(Weights<Net, Cuda>::load(path, cuda()), 7, cuda());
  const auto x = numbers<float>(7 * 64, 1);
  for (const int batch : {1, 7}) {
    const auto want = here(x.data(), batch), got = there(x.data(), batch);
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(got[i] == Approx(want[i]).margin(1e-5));
  }
}

TEST_CASE("cuda: a loss that is not finite stops with the layer's name and the last good weights") {
  const ImageSet set = quarters(107);
  Model<Net, Cuda> model(Seed{5}, 16, cuda());
  Trainer trainer(model, Sgd{0.05}, CrossEntropy{}, {.steps_per_launch = 4});
  const ImageData data(set, augmented);
  int launches = 0;
  trainer.epoch(data, [&](const LossSums&) { return ++launches < 1; });  // four steps
  REQUIRE(trainer.progress().step == 4);
  auto weights = on_host(cuda(), model.parameters());
  const auto states = on_host(cuda(), model.states());
  const long long at = model.tensors().back().offset;  // the last bias
  REQUIRE(model.tensors().back().name == "9.bias");
  const float bad = std::numeric_limits<float>::quiet_NaN();
  upload(cuda(), &bad, model.parameters().data + at, 1);
  weights[static_cast<std::size_t>(at)] = bad;
  std::string said;
  try {
    trainer.epoch(data);
  } catch (const NonFinite& e) {
    said = e.what();
    CHECK(e.step == 5);
  }
  CHECK_THAT(said, ContainsSubstring("layer 9 (Linear)"));
  const auto after = on_host(cuda(), model.parameters());
  CHECK(std::memcmp(after.data(), weights.data(), weights.size() * sizeof(float)) == 0);
  CHECK(on_host(cuda(), model.states()) == states);
  CHECK(model.counters()[0] == 4);
  CHECK(trainer.progress().step == 4);
  CHECK(trainer.progress().sums.count == 64);
}

TEST_CASE("cuda: an update that overflows is taken back, recorded or not") {
  const ImageSet set = quarters(107);
  for (const int together : {1, 4}) {
    Model<Net, Cuda> model(Seed{5}, 16, cuda());
    Trainer trainer(model, Sgd{1e38}, CrossEntropy{}, {.steps_per_launch = together});
    const auto before = on_host(cuda(), model.parameters());
    CHECK_THROWS_AS(trainer.epoch(ImageData(set, augmented)), NonFinite);
    CHECK(on_host(cuda(), model.parameters()) == before);
    CHECK(trainer.progress().step == 0);
  }
}

TEST_CASE("cuda: samples of one's own, a batch in a view, and data that change") {
  using Small = Sequential<Input<3>, Linear<8>, Tanh, Linear<2>>;
  Model<Small> cpu(Seed{1}, 8, Cpu{});
  Model<Small, Cuda> gpu(Seed{1}, 8, cuda());
  Trainer a(cpu, Adam{0.01}, MeanSquaredError{});
  Trainer b(gpu, Adam{0.01}, MeanSquaredError{});
  const Samples<float, float> samples(numbers<float>(30, 1), numbers<float>(20, 2), 10);
  CHECK(b.epoch(samples).loss() == Approx(a.epoch(samples).loss()).epsilon(1e-5));
  const auto x = numbers<float>(15, 3), y = numbers<float>(10, 4);
  CHECK(b.step(x.data(), y.data(), 5).loss() == Approx(a.step(x.data(), y.data(), 5).loss()).epsilon(1e-5));

  const ImageSet one = quarters(32), other = quarters(40);
  Model<Net> on_cpu(Seed{2}, 16, Cpu{});
  Model<Net, Cuda> on_gpu(Seed{2}, 16, cuda());
  Trainer ta(on_cpu, Sgd{0.01});
  Trainer tb(on_gpu, Sgd{0.01});
  for (const ImageSet* set : {&one, &other, &one}) {
    const ImageData data(*set, augmented);
    CHECK(tb.epoch(data).loss() == Approx(ta.epoch(data).loss()).epsilon(1e-3));
  }
}
