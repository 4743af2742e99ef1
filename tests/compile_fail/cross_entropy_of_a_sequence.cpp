// CrossEntropy takes one label for each sample, so the network's output has one dimension.
// expect: loss<(tenon::)?CrossEntropy>
// expect: network_output_of_one_dimension
// expect: got<5, 3>
// expect: end_the_network_with_Flatten_or_GlobalAvgPool
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<5, 4>, Linear<3>>;
#else
using Net = Sequential<Input<5, 4>, Linear<3>, Flatten>;
#endif

int main() {
  Model<Net> model;
  Trainer trainer(model, Adam{});
  const float x[20] = {};
  const int label = 0;
  return trainer.step(x, &label, 1).loss() > 0;
}
