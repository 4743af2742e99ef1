// Flatten: (C, H, W) or (T, F) -> (C * H * W) or (T * F), in PyTorch's order.
// It costs nothing if the values are already in this order (one channel, one pixel, sequences), or if the previous
// operation can store its result in this order. Otherwise it is a permutation.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/layers/permute.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct Flatten {
  static constexpr const char* name = "Flatten";

  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(dims(in.count()));
    s.permutes = in.rank == 3 && in[0] > 1 && in[1] * in[2] > 1;
    s.alias = !s.permutes;
    return s;
  }
  static void forward(auto& dev, const auto& at) { to_channels_first(dev, at.x, at.into(at.planar(at.y))); }
  static void backward(auto& dev, const auto& at) { to_channels_last(dev, at.as_const(at.planar(at.dy)), at.dx); }
};

}  // namespace tenon

TENON_IEEE_MATH_END
