// SPDX-License-Identifier: MIT
// [doc:network]
// network.hpp: what both units know.
#pragma once

#include <tenon/layers.hpp>

using Net = tenon::Sequential<tenon::Input<1, 8, 8>,                                                //
                              tenon::Conv2d<8, tenon::Kernel<3>, tenon::Padding<1>>, tenon::ReLU,   // (8, 8, 8)
                              tenon::MaxPool2d<2>, tenon::Flatten, tenon::Linear<16>, tenon::ReLU,  //
                              tenon::Linear<4>>;
// [end]
