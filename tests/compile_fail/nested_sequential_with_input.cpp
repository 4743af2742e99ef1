// Only the outermost Sequential has an Input.
// expect: layer<1, (tenon::diagnostics::)?layer<0, tenon::Input<8> ?> ?>
// expect: Input_only_at_the_front
// expect: remove_the_Input_of_the_inner_Sequential
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Block = Sequential<Input<8>, Linear<8>, ReLU>;
#else
using Block = Sequential<Linear<8>, ReLU>;
#endif

int main() {
  Model<Sequential<Input<4>, Linear<8>, Block>> model;
  return model.predict(1).batch;
}
