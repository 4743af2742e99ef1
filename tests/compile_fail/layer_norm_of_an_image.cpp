// LayerNorm works on the last dimension of vectors and sequences.
// expect: layer<0, tenon::LayerNorm<
// expect: one_or_two_dimensions
// expect: got<4, 6, 6>
// expect: insert_GlobalAvgPool_or_Flatten_before_this_layer
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Net = Sequential<Input<4, 6, 6>, LayerNorm<>>;
#else
using Net = Sequential<Input<4, 6, 6>, Flatten, LayerNorm<>>;
#endif

int main() {
  Model<Net> model;
  return model.predict(1).batch;
}
