// The four networks of the programs, for images of 28 x 28 gray pixels in 10 classes. docs/models.md gives each as
// PyTorch's nn.Sequential.
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <tenon/layers.hpp>
#include <tenon/plan/plan.hpp>

namespace models {

using namespace tenon;

using Image = Input<1, 28, 28>;

/// 784-256-128-10. 235,146 parameters.
struct Mlp : Sequential<Image, Flatten, Linear<256>, ReLU, Linear<128>, ReLU, Linear<10>> {
  static constexpr const char* name = "mlp";
};

/// The shape of LeNet-5 (LeCun et al., 1998) with ReLU and max-pooling. 61,706 parameters.
struct Lenet : Sequential<Image,                                                 //
                          Conv2d<6, Kernel<5>, Padding<2>>, ReLU, MaxPool2d<2>,  // (6, 14, 14)
                          Conv2d<16, Kernel<5>>, ReLU, MaxPool2d<2>,             // (16, 5, 5)
                          Flatten, Linear<120>, ReLU, Linear<84>, ReLU, Linear<10>> {
  static constexpr const char* name = "lenet";
};

/// Two convolutions and two linear layers. 421,642 parameters.
struct Cnn : Sequential<Image,                                                  //
                        Conv2d<32, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>,  // (32, 14, 14)
                        Conv2d<64, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>,  // (64, 7, 7)
                        Flatten, Linear<128>, ReLU, Linear<10>> {
  static constexpr const char* name = "cnn";
};

/// A residual block of two 3 x 3 convolutions that keeps the shape.
template <int C>
using Block = Residual<Conv2d<C, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU,  //
                       Conv2d<C, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>>;

/// A small residual network (He et al., 2016). Max-pooling between the blocks halves the resolution; on these images
/// this is better and cheaper than blocks of stride 2. The last pool covers the whole image. 116,602 parameters.
struct Resnet : Sequential<Image,                                                                       //
                           Conv2d<16, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU,                // (16, 28, 28)
                           Conv2d<32, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU, MaxPool2d<2>,  // (32, 14, 14)
                           Block<32>, ReLU,                                                             //
                           Conv2d<64, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU, MaxPool2d<2>,  // (64, 7, 7)
                           Block<64>, ReLU,                                                             //
                           MaxPool2d<7>, Flatten, Linear<10>> {
  static constexpr const char* name = "resnet";
};

/// Calls f(static_cast<const Net*>(nullptr)) with the network `name`. False if there is none.
template <class F>
bool with_model(std::string_view name, F&& f) {
  const auto offer = [&](const auto* net) { return name == net->name && (f(net), true); };
  return offer(static_cast<const Mlp*>(nullptr)) || offer(static_cast<const Lenet*>(nullptr)) ||
         offer(static_cast<const Cnn*>(nullptr)) || offer(static_cast<const Resnet*>(nullptr));
}

}  // namespace models
