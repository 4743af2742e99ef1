// A mistake inside a Residual is located inside it.
// expect: layer<1, (tenon::plan::)?body<1, tenon::Linear<5> ?> ?>
// expect: got<4, 6, 6>
// expect: insert_Flatten_before_this_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4, 6, 6>, ReLU, Residual<ReLU, Linear<5>>>;
#else
using Net = Sequential<Input<4, 6, 6>, ReLU, Residual<ReLU, Tanh>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
