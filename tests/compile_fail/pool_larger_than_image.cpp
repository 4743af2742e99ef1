// A pool must fit into the image.
// expect: layer<0, tenon::MaxPool2d<7> ?>
// expect: window_no_larger_than_padded_input
// expect: got<4, 6, 6>
// expect: a_smaller_Kernel_or_more_Padding
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4, 6, 6>, MaxPool2d<7>>;
#else
using Net = Sequential<Input<4, 6, 6>, MaxPool2d<6>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
