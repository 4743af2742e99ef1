// The first argument of a pooling is its window.
// expect: layer<0, tenon::MaxPool2d
// expect: options_that_this_layer_takes
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<1, 4, 4>, MaxPool2d<Stride<2>>, Flatten>;
#else
using Net = Sequential<Input<1, 4, 4>, MaxPool2d<2, Stride<2>>, Flatten>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
