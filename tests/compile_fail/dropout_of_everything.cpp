// A rate of 1 would drop everything.
// expect: layer<0, tenon::Dropout<(tenon::layer_options::Rate<1, 1>|\{\{?\})
// expect: rate_from_0_to_below_1
// expect: got<1, 1>
// expect: a_Rate_like_1_over_2
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4>, Dropout<Rate<1, 1>>>;
#else
using Net = Sequential<Input<4>, Dropout<Rate<1, 2>>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
