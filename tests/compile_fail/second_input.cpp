// A network has one Input.
// expect: layer<1, tenon::Input<8> ?>
// expect: Input_only_at_the_front
// expect: move_Input_to_the_front
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, Linear<8>, Input<8>, Linear<3>>;
#else
using Net = Sequential<Input<4>, Linear<8>, Linear<3>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
