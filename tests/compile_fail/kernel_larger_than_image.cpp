// A window must fit into the padded image.
// expect: layer<2, tenon::Conv2d<8, (tenon::layer_options::Kernel<5|\{)
// expect: window_no_larger_than_padded_input
// expect: got<4, 3, 3>
// expect: a_smaller_Kernel_or_more_Padding
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<4>>, ReLU, Conv2d<8, Kernel<5>>>;
#else
using Net = Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<4>>, ReLU, Conv2d<8, Kernel<5>, Padding<1>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
