// Flatten: (C, H, W) or (T, F) -> (C * H * W) or (T * F), in PyTorch's order.
// Free where the order in memory is that already (one channel, one pixel, sequences), and where the operation before
// can store its result in this order; a permutation otherwise.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/layers/permute.hpp"

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
