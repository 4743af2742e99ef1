// The number of groups must divide the number of channels.
// expect: layer<0, tenon::Conv2d<8
// expect: channels_divisible_by_groups
// expect: got<3, 2>
// expect: a_number_of_Groups_that_divides_both
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<3, 6, 6>, Conv2d<8, Kernel<3>, Groups<2>>>;
#else
using Net = Sequential<Input<4, 6, 6>, Conv2d<8, Kernel<3>, Groups<2>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
