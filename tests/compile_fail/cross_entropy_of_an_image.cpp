// CrossEntropy of an image is one error. MeanSquaredError takes outputs of every shape.
// expect: loss<(tenon::)?CrossEntropy>
// expect: network_output_of_one_dimension
// expect: got<3, 6, 6>
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

using Net = Sequential<Input<1, 6, 6>, Conv2d<3, Kernel<3>, Padding<1>>>;

int main() {
  Model<Net> model;
#ifndef TENON_TWIN
  Trainer trainer(model, Adam{}, CrossEntropy{});
#else
  Trainer trainer(model, Adam{}, MeanSquaredError{});
#endif
  return trainer.progress().epoch != 0;
}
