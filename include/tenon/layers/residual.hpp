// Residual: y = body(x) + skip(x). Both are lists of layers. An empty skip is the identity.
//   Residual<Conv2d<64, Kernel<3>, Padding<1>>, ReLU>                                   body(x) + x
//   Residual<Body<Conv2d<64, Kernel<3>, Stride<2>, Padding<1>>>, Skip<Conv2d<64, Kernel<1>, Stride<2>>>>
// Parameters are named N.body.K.* and N.skip.K.*. The plan has one node for each layer and one for the sum
// (layers/add.hpp).
// Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <class... Ls>
struct Body {};

template <class... Ls>
struct Skip {};

template <class... Ls>
struct Residual {};

}  // namespace tenon

TENON_IEEE_MATH_END
