// A Sequential needs an Input.
// expect: layer<0, tenon::Linear<10> ?>
// expect: Input_at_the_front
// expect: begin_with_Input_of_the_shape_of_one_sample
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Linear<10>>;
#else
using Net = Sequential<Input<4>, Linear<10>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
