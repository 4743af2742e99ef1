// The kernels at the sizes of the programs' networks, on tensors aligned like those of a model. The report and the
// gates of the tracer (tests/simt/trace) select these tests by the tag [shapes].
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/tenon.hpp>

#include <cmath>

#include "../../examples/programs/models.hpp"
#include "cuda/support.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

struct Set {
  int count = 0, channels = 1, height = 28, width = 28;
  std::vector<std::uint8_t> pixels, labels;
};

Set noise(int count) {
  Set s;
  s.count = count;
  std::uint32_t state = 1;
  const auto next = [&] { return static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24); };
  for (int i = 0; i < count; ++i) s.labels.push_back(static_cast<std::uint8_t>(next() % 10));
  for (int i = 0; i < count * 784; ++i) s.pixels.push_back(next());
  return s;
}

// Runs a step and an evaluation, which launch every kernel of such a training.
template <class Net>
void train_once(CudaMath math, int batch) {
  const Set set = noise(batch);
  const ImageData data(set, {0.5, 0.25});
  Model<Net, Cuda> model(Seed{5}, batch, Cuda(math));
  Trainer trainer(model, AdamW{}, CrossEntropy{}, {.clip_norm = 1.0, .steps_per_launch = 1});
  CHECK(std::isfinite(trainer.epoch(data).loss()));
  CHECK(std::isfinite(trainer.evaluate(data).loss()));
}

}  // namespace

TEST_CASE("cuda: a step of mlp", "[shapes]") { train_once<models::Mlp>(CudaMath::fp32, 128); }
TEST_CASE("cuda: a step of cnn", "[shapes]") { train_once<models::Cnn>(CudaMath::fp32, 16); }
TEST_CASE("cuda: a step of resnet", "[shapes]") { train_once<models::Resnet>(CudaMath::fp32, 8); }
TEST_CASE("cuda: a step of mlp with tensor cores", "[shapes]") { train_once<models::Mlp>(CudaMath::tf32, 128); }
TEST_CASE("cuda: a step of cnn with tensor cores", "[shapes]") { train_once<models::Cnn>(CudaMath::bf16, 16); }
