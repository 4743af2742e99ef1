// The number of outputs is positive.
// expect: layer<1, tenon::Linear<0> ?>
// expect: positive_extents
// expect: got<0>
// expect: a_positive_number
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, ReLU, Linear<0>>;
#else
using Net = Sequential<Input<4>, ReLU, Linear<1>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
