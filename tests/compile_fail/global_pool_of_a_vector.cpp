// GlobalAvgPool needs pixels to average.
// expect: layer<1, tenon::GlobalAvgPool>
// expect: three_dimensions_C_H_W
// expect: got<144>
// expect: remove_the_Flatten_before_this_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4, 6, 6>, Flatten, GlobalAvgPool>;
#else
using Net = Sequential<Input<4, 6, 6>, GlobalAvgPool>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
