// Inputs and outputs written as in PyTorch: here the number of inputs is inferred, and options have names.
// expect: layer<0, tenon::Linear<784, 128> ?>
// expect: options_that_this_layer_takes
// expect: the_outputs_alone_and_options_by_name_like_Kernel_3
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<784>, Linear<784, 128>>;
#else
using Net = Sequential<Input<784>, Linear<128>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
