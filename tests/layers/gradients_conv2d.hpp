// Gradients of convolutions against central differences in double precision, alone and with fused layers. Runs on any
// device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "layers/check_gradients.hpp"

TEST_CASE("gradients: Conv2d, whatever the window") {
  check<Sequential<Input<1, 5, 5>, Conv2d<1, Kernel<3>>>>();
  check<Sequential<Input<1, 6, 5>, Conv2d<3, Kernel<3>, Padding<1>>>>();
  check<Sequential<Input<3, 7, 6>, Conv2d<5, Kernel<3>, Padding<1>>>>();
  check<Sequential<Input<3, 7, 6>, Conv2d<5, Kernel<3>, Stride<2>, Padding<1>, NoBias>>>();
  check<Sequential<Input<2, 9, 8>, Conv2d<3, Kernel<3>, Dilation<2>, Padding<1>>>>();
  check<Sequential<Input<4, 6, 6>, Conv2d<6, Kernel<3>, Groups<2>>>>();
  check<Sequential<Input<4, 6, 6>, Conv2d<4, Kernel<3>, Groups<4>, Padding<1>>>>();
  check<Sequential<Input<2, 7, 9>, Conv2d<3, Kernel<2, 3>, Stride<1, 2>, Padding<0, 1>>>>();
  check<Sequential<Input<3, 4, 4>, Conv2d<17, Kernel<1>>>>();
  check<Sequential<Input<2, 4, 4>, Conv2d<3, Kernel<4>>>>();
}

TEST_CASE("gradients: Conv2d with what joins it") {
  check<Sequential<Input<1, 8, 8>, Conv2d<5, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>, Flatten, Linear<3>>>();
  check<Sequential<Input<2, 9, 9>, Conv2d<5, Kernel<3>, Padding<1>>, MaxPool2d<2>, Conv2d<4, Kernel<3>>, Tanh,
                   Flatten>>();
  check<Sequential<Input<2, 9, 9>, Conv2d<16, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<3>,
                   Conv2d<18, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<3>, Flatten, Linear<4>>>();
  check<Sequential<Input<2, 7, 7>, Conv2d<4, Kernel<3>>, LeakyReLU<>, MaxPool2d<2>>>();
  check<Sequential<Input<2, 7, 7>, Conv2d<4, Kernel<3>>, Sigmoid, Flatten, Linear<2>>>();
  check<Sequential<Input<2, 7, 7>, Conv2d<4, Kernel<3>>, GELU, Flatten, Linear<2>>>();
}

TEST_CASE("gradients: Conv2d before BatchNorm and in residual blocks") {
  check<Sequential<Input<3, 5, 4>, Conv2d<4, Kernel<3>, NoBias>, BatchNorm<Epsilon<1, 1000>>, ReLU, GlobalAvgPool>>();
  check<Sequential<
      Input<2, 6, 6>, Conv2d<4, Kernel<3>, Padding<1>>, ReLU,
      Residual<Conv2d<4, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU, Conv2d<4, Kernel<3>, Padding<1>>>, ReLU,
      Residual<Body<Conv2d<6, Kernel<3>, Stride<2>, Padding<1>>, ReLU>, Skip<Conv2d<6, Kernel<1>, Stride<2>>>>,
      GlobalAvgPool, Linear<3>>>();
}
