// A program that trains, saves, resumes and predicts, and so instantiates the templates of the headers. It is built
// with other standard libraries than the remaining tests (headers/run).
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <tenon/data/csv.hpp>
#include <tenon/data/dataset.hpp>
#include <tenon/predict.hpp>
#include <tenon/tenon.hpp>
#include <tenon/train/checkpoint.hpp>
#include <vector>

using namespace tenon;
using Net = Sequential<Input<2>, Linear<4>, ReLU, Linear<2>>;

namespace {

bool expect(bool holds, const char* what) {
  if (!holds) std::printf("expected %s\n", what);
  return holds;
}

}  // namespace

int main() {
  const CsvTable table = parse_csv("x,y\n1,-2.5\n.5,1e-3\n", "memory");
  bool good = expect(table.values == std::vector<float>{1, -2.5f, 0.5f, 0.001f}, "the numbers of a table");

  const Samples samples(table.values, std::vector<std::int32_t>{0, 1}, 2);
  Model<Net> model(Seed{1}, 2), other(Seed{2}, 2);
  Trainer trainer(model, Adam{1e-2}), resumed(other, Adam{1e-2});
  trainer.epoch(samples);
  save_checkpoint("checkpoint.safetensors", trainer);
  load_checkpoint(resumed, "checkpoint.safetensors");
  good &= expect(resumed.progress().step == 1, "a training that goes on after its first step");
  good &= expect(resumed.epoch(samples).loss_sum == trainer.epoch(samples).loss_sum, "the same loss after a resume");

  Predictor<Net> predict(Weights<Net>::load("checkpoint.safetensors"));
  good &= expect(predict(table.values.data()).size() == 2, "two outputs");
  return good ? 0 : 1;
}
