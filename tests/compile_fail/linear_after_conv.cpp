// Linear does not accept an image.
// expect: layer<1, tenon::Linear<10> ?>
// expect: got<8, 12, 12>
// expect: one_or_two_dimensions
// expect: insert_Flatten_before_this_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<1, 14, 14>, Conv2d<8, Kernel<3>>, Linear<10>>;
#else
using Net = Sequential<Input<1, 14, 14>, Conv2d<8, Kernel<3>>, Flatten, Linear<10>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
