// An option that a layer does not take is an error and is not ignored.
// expect: layer<1, tenon::Linear<10, (tenon::layer_options::Padding<1, 1>|\{\{?\})
// expect: options_that_this_layer_takes
// expect: got<4>
// expect: remove_the_option_that_it_does_not_take
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, ReLU, Linear<10, Padding<1>>>;
#else
using Net = Sequential<Input<4>, ReLU, Linear<10, NoBias>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
