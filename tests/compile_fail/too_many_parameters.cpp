// Sizes beyond 2^31 are refused, not wrapped around.
// expect: layer<1, tenon::Linear<2000000> ?>
// expect: fewer_than_2_to_the_31_values
// expect: a_smaller_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<1, 1000, 1000>, Flatten, Linear<2000000>>;
#else
using Net = Sequential<Input<1, 1000, 1000>, Flatten, Linear<2>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
