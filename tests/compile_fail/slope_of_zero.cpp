// A slope of 0 is ReLU; backward could not distinguish the branches by the output.
// expect: layer<0, tenon::LeakyReLU
// expect: a_positive_slope
// expect: got<0, 1>
// expect: a_Slope_like_1_over_100
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, LeakyReLU<Slope<0, 1>>>;
#else
using Net = Sequential<Input<4>, LeakyReLU<Slope<1, 10>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
