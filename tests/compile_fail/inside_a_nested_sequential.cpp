// A mistake inside a nested Sequential is located inside it.
// expect: layer<1, (tenon::diagnostics::)?layer<2, tenon::Linear<5> ?> ?>
// expect: got<4, 6, 6>
// expect: insert_Flatten_before_this_layer
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Block = Sequential<ReLU, Residual<Tanh>, Linear<5>>;
#else
using Block = Sequential<ReLU, Residual<Tanh>, Flatten, Linear<5>>;
#endif
using Net = Sequential<Input<4, 6, 6>, Sequential<Sequential<ReLU>, ReLU>, Block>;

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
