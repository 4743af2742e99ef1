// Graphs: evaluation, prediction and the steps of an epoch give the same bits as plain launches.
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
using OnGpu = Model<Net, Cuda>;

#if TENON_SIMT
std::size_t graph_launches() { return simt::counters().graph_launches; }
#endif

bool same(const LossSums& a, const LossSums& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

std::vector<float> on_host(const Cuda& dev, const float* from, std::size_t n) {
  std::vector<float> v(n);
  download(dev, from, v.data(), n);
  return v;
}

/// The images of a set, gathered by the host: steps on them are not recorded.
struct Plain {
  using Target = std::int32_t;
  const ImageData& data;
  std::uint64_t size() const { return data.size(); }
  template <int I>
  void read(const StepState& step, Pass pass, View<float, Batch, I> x, std::int32_t* labels) const {
    Cpu here;
    const auto source = data.source<float, std::int32_t>(here);
    ImageData::gather(here, &source, &step, pass, x, labels, 1);
  }
};

/// Evaluates all of `data` by plain launches and appends the outputs to `outputs`.
LossSums by_hand(OnGpu& model, const ImageData& data, std::vector<float>& outputs) {
  Trainer trainer(model, Sgd{0.05});
  return trainer.evaluate(
      Plain{data}, [&](std::uint64_t, const auto& y) { outputs.insert(outputs.end(), y.data, y.data + y.size()); });
}

/// Writes a model file with the initial weights of the seed and returns its path.
template <class N>
std::string file_of(const Folder& folder, int seed) {
  Model<N> model(Seed{static_cast<std::uint64_t>(seed)}, 1, Cpu{});
  const std::string path = folder / "model" + std::to_string(seed);
  save_model(path, model);
  return path;
}

}  // namespace

TEST_CASE("cuda: an evaluation by graphs has the bits of plain launches, batch by batch or in one go") {
  const ImageSet set = quarters(53), other = quarters(37);
  const ImageData data(set, {0.5, 0.25}), fewer(other, {0.4, 0.3});
  OnGpu model(Seed{3}, 16, cuda());
  Trainer trainer(model, Sgd{0.05});
  for (int round = 0; round < 3; ++round) {  // recorded, replayed, replayed with other weights
    if (round == 2) trainer.epoch(data);
    for (const ImageData* d : {&data, &fewer}) {
      std::vector<float> outputs, seen;
      const LossSums want = by_hand(model, *d, outputs);
      REQUIRE(want.count == static_cast<std::int64_t>(d->size()));
      CHECK(same(trainer.evaluate(*d), want));
      const LossSums shown = trainer.evaluate(*d, [&](std::uint64_t first, const auto& y) {
        CHECK(first * OnGpu::outputs == seen.size());
        seen.insert(seen.end(), y.data, y.data + y.size());
        return true;
      });
      CHECK(same(shown, want));
      CHECK(seen == outputs);
    }
  }
  int batches = 0;
  CHECK(trainer.evaluate(data, [&](std::uint64_t, const auto&) { return ++batches < 2; }).count == 32);
  CHECK(batches == 2);
#if TENON_SIMT
  const simt::Counters before = simt::counters();
  static_cast<void>(trainer.evaluate(data));
  CHECK(simt::counters().graph_launches == before.graph_launches + 4);
  // Copies source, step state and epoch state to the device, and the epoch state back.
  CHECK(simt::counters().copies == before.copies + 4);
  CHECK(simt::counters().allocations == before.allocations);
#endif
}

TEST_CASE("cuda: an evaluation by graphs is also that of a loss and of data that are not images") {
  using Small = Sequential<Input<3>, Linear<8>, Tanh, Linear<2>>;
  const Samples<float, float> samples(numbers<float>(33, 1), numbers<float>(22, 2), 11);
  Model<Small> cpu(Seed{1}, 4, Cpu{});
  Model<Small, Cuda> gpu(Seed{1}, 4, cuda());
  Trainer a(cpu, Sgd{0.01}, MeanSquaredError{});
  Trainer b(gpu, Sgd{0.01}, MeanSquaredError{});
  for (int round = 0; round < 2; ++round)
    CHECK(b.evaluate(samples).loss() == Approx(a.evaluate(samples).loss()).epsilon(1e-5));
}

TEST_CASE("cuda: a prediction by a graph has the bits of plain launches") {
  const Folder folder;
  const std::string path = file_of<Net>(folder, 3);
  const auto weights = Weights<Net, Cuda>::load(path, cuda());
  OnGpu model(Seed{}, 16, cuda());
  load_model(model, path);
  Predictor<Net, Cuda> seven(weights, 7, Cuda()), nine(weights, 9, cuda()), one(weights, 1, cuda());
  const auto x = numbers<float>(9 * 64, 1);
  const auto plain = [&](int batch) {
    const auto in = model.input(batch);
    upload(cuda(), x.data(), in.data, in.size());
    const auto y = model.predict(batch);
    return on_host(cuda(), y.data, y.size());
  };
  for (int round = 0; round < 2; ++round)
    for (const int batch : {1, 4, 7, 9}) {
      INFO(batch);
      const auto check = [&](Predictor<Net, Cuda>& predict, [[maybe_unused]] bool by_graph) {
#if TENON_SIMT
        const std::size_t before = graph_launches(), allocations = simt::counters().allocations;
#endif
        const auto y = predict(x.data(), batch);
        CHECK(std::vector<float>(y.begin(), y.end()) == plain(batch));
#if TENON_SIMT
        CHECK(graph_launches() == before + (by_graph ? 1 : 0));
        CHECK(simt::counters().allocations == allocations);
#endif
      };
      check(nine, batch == 9 || batch == 1);
      if (batch <= 7) check(seven, batch == 7 || batch == 1);
      if (batch == 1) check(one, true);
    }
  CHECK_THROWS_AS(one(x.data(), 2), Error);

  // A moved predictor still uses its memory.
  Predictor<Net, Cuda> moved = std::move(nine);
  const auto y = moved(x.data(), 9);
  CHECK(std::vector<float>(y.begin(), y.end()) == plain(9));
}

TEST_CASE("cuda: a predictor opens no cuBLAS, and takes it from nobody else") {
  using Wide = Sequential<Input<512>, Linear<512>>;
  const Folder folder;
  const auto weights = Weights<Wide, Cuda>::load(file_of<Wide>(folder, 1), cuda());
  const Cuda dev;
  const Predictor<Wide, Cuda> predict(weights, 512, dev);
  CHECK(!dev.state().cublas);
  CHECK(dev.allow_cublas);
  Model<Wide, Cuda> model(Seed{1}, 512, dev);  // of the same size, on the same stream
  CHECK(dev.state().cublas);
}

#if TENON_SIMT
TEST_CASE("cuda: weights are there when they are loaded, for predictors with streams of their own") {
  const RestoredOptions restored;
  for (const auto streams : {simt::Streams::late, simt::Streams::late_reverse}) {
    simt::options().streams = streams;
    const Folder folder;
    const std::string path = file_of<Net>(folder, 3);
    const Cuda dev;  // kept alive, because its destructor would wait
    Predictor<Net, Cuda> predict(Weights<Net, Cuda>::load(path, dev), 2, Cuda());
    Predictor<Net> here(Weights<Net>::load(path), 2);
    const auto x = numbers<float>(2 * 64, 1);
    const auto got = predict(x.data(), 2), want = here(x.data(), 2);
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(got[i] == Approx(want[i]).margin(1e-5));
  }
}
#endif

TEST_CASE("cuda: steps that were recorded for one data set have the bits of plain steps on another") {
  const ImageSet one = quarters(41), two = quarters(73);
  const auto train = [&](bool recorded) {
    OnGpu model(Seed{5}, 8, cuda());
    Trainer trainer(model, AdamW{}, CrossEntropy{},
                    {.schedule = Schedule::one_cycle(60), .clip_norm = 1.0, .steps_per_launch = 4});
    const ImageData a(one, {0.5, 0.25, true, true}), b(two, {0.4, 0.3, false, true}), c(two, {0.4, 0.3}, 50);
    for (const ImageData* d : {&a, &b, &a, &c}) {
      if (recorded)
        trainer.epoch(*d);
      else
        trainer.epoch(Plain{*d});
    }
    return on_host(cuda(), model.parameters().data, model.parameters().size);
  };
  CHECK(train(true) == train(false));
}
