// A stride must be positive.
// expect: layer<0, tenon::Conv2d<4, (tenon::layer_options::Kernel<3|\{)
// expect: positive_extents
// expect: got<0, 0>
// expect: a_positive_number
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<3>, Stride<0>>>;
#else
using Net = Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<3>, Stride<1>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
