// Without a Skip the body must keep the shape.
// expect: layer<1, tenon::Residual<
// expect: body_that_keeps_the_shape
// expect: got<24>
// expect: a_Skip_that_projects_to_the_shape_of_the_body
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<16>, ReLU, Residual<Linear<24>, ReLU>>;
#else
using Net = Sequential<Input<16>, ReLU, Residual<Linear<16>, ReLU>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
