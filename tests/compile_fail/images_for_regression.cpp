// ImageData has labels, and MeanSquaredError takes numbers.
// expect: images_for_regression.cpp:2[0-9]
// expect: ImageData has class labels, for CrossEntropy; MeanSquaredError takes Samples<float, float>
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Loss = MeanSquaredError<float>;
#else
using Loss = CrossEntropy;
#endif

int main() {
  const ImageSet set{1, 1, 2, 2, {1, 2, 3, 4}, {0}};
  const ImageData data(set);
  Model<Sequential<Input<1, 2, 2>, Flatten, Linear<2>>> model;
  Trainer trainer(model, Adam{1e-3}, Loss{});
  trainer.epoch(data);
}
