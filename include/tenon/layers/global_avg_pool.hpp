// GlobalAvgPool: the mean of each channel, as torch.nn.AdaptiveAvgPool2d(1) followed by Flatten.
//   x (B, C, H, W)   ->   y (B, C)
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/global_avg_pool.hpp"
#include "tenon/layers/layer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct GlobalAvgPool {
  static constexpr const char* name = "GlobalAvgPool";

  static constexpr LayerSpec infer(Dims in) {
    if (in.rank != 3)
      return LayerSpec::no(Need::three_dimensions_C_H_W, in, Remedy::remove_the_Flatten_before_this_layer);
    return LayerSpec::to(dims(in[0]));
  }
  static void forward(auto& dev, const auto& at) { global_avg_pool_forward(dev, at.x, at.y); }
  static void backward(auto& dev, const auto& at) { global_avg_pool_backward(dev, at.as_const(at.dy), at.dx); }
};

}  // namespace tenon

TENON_IEEE_MATH_END
