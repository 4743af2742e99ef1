// With padding of more than half the window, a window could contain only padding.
// expect: layer<0, tenon::MaxPool2d<3, (tenon::layer_options::Padding<2|\{)
// expect: padding_at_most_half_the_window
// expect: got<2, 2>
// expect: less_Padding
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4, 6, 6>, MaxPool2d<3, Padding<2>>>;
#else
using Net = Sequential<Input<4, 6, 6>, MaxPool2d<3, Padding<1>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
