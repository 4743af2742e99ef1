// A Sequential must begin with Input.
// expect: layer<0, tenon::Linear<10> ?>
// expect: Input_only_at_the_front
// expect: move_Input_to_the_front
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Linear<10>, Input<4>>;
#else
using Net = Sequential<Input<4>, Linear<10>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
