// Labels of a classification in float, for example from a table, are refused: they may not be integers.
// expect: tenon::Samples: expected labels of an integer type, as the loss takes, got floating-point numbers
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>
#include <vector>

using namespace tenon;

#ifndef TENON_TWIN
using Label = float;
#else
using Label = long;
#endif

int main() {
  const Samples data(std::vector<float>(8), std::vector<Label>(4), 4);
  Model<Sequential<Input<2>, Linear<3>>> model;
  Trainer trainer(model, Adam{});
  trainer.epoch(data);
}
