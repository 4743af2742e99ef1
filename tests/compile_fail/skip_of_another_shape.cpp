// Body and Skip must have the same output shape.
// expect: layer<0, tenon::Residual<
// expect: body_and_skip_of_equal_shape
// expect: got<24>
// expect: a_Skip_that_projects_to_the_shape_of_the_body
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<16>, Residual<Body<Linear<24>>, Skip<Linear<23>>>>;
#else
using Net = Sequential<Input<16>, Residual<Body<Linear<24>>, Skip<Linear<24>>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
