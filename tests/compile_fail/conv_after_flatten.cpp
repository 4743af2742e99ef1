// A Conv2d needs channels and pixels.
// expect: layer<1, tenon::Conv2d<8, (tenon::layer_options::Kernel<3|\{)
// expect: three_dimensions_C_H_W
// expect: got<196>
// expect: remove_the_Flatten_before_this_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<1, 14, 14>, Flatten, Conv2d<8, Kernel<3>>>;
#else
using Net = Sequential<Input<1, 14, 14>, Conv2d<8, Kernel<3>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
