// Compares small networks of images with PyTorch: files read and written byte for byte, logits, losses, trained weights
// and statistics. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "train/golden.hpp"
//
#include "tenon/optimizers/sgd.hpp"

using namespace pytorch;

TEST_CASE("pytorch: convolutions with stride, padding, groups and dilation, pools, Nesterov's momentum") {
  Sgd sgd;
  sgd.nesterov = true;
  sgd.weight_decay = 1e-3;
  check_network<Sequential<Input<3, 11, 9>, Conv2d<8, Kernel<3>, Stride<2>, Padding<1>>, ReLU,
                           MaxPool2d<3, Stride<1>, Padding<1>>,
                           Conv2d<8, Kernel<3, 1>, Padding<1, 0>, Groups<4>, NoBias>, BatchNorm<>, SiLU,
                           Conv2d<12, Kernel<3>, Dilation<2>, Padding<2>>, Tanh, AvgPool2d<2>, Flatten, Linear<10>>>(
      "convs", sgd);
}

TEST_CASE("pytorch: residual blocks with identity and projected skips, clipping by norm") {
  check_network<Sequential<Input<2, 8, 8>, Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU,
                           Residual<Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU,
                                    Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>>,
                           ReLU,
                           Residual<Body<Conv2d<12, Kernel<3>, Stride<2>, Padding<1>, NoBias>, BatchNorm<>, ReLU,
                                         Conv2d<12, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>>,
                                    Skip<Conv2d<12, Kernel<1>, Stride<2>, NoBias>, BatchNorm<>>>,
                           ReLU, GlobalAvgPool, Linear<10>>>("residual", Sgd{}, CrossEntropy{},
                                                             TrainerOptions{.clip_norm = 0.5});
}
