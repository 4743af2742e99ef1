// The two orders of an image's values: (C, H, W), in which users hand them in and get them back, and (H, W, C), which
// the kernels prefer. The plan puts these nodes at a network's ends, and only where the two differ.
//   ToChannelsLast    (B, C, H, W) -> (B, H, W, C)        ToChannelsFirst   (B, H, W, C) -> (B, C, H, W)
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/permute.hpp"
#include "tenon/layers/layer.hpp"

namespace tenon {

struct ToChannelsLast {
  static constexpr const char* name = "ToChannelsLast";

  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  static void forward(auto& dev, const auto& at) { to_channels_last(dev, at.planar(at.x), at.into(at.y)); }
  static void backward(auto& dev, const auto& at) { to_channels_first(dev, at.as_const(at.dy), at.planar(at.dx)); }
};

struct ToChannelsFirst {
  static constexpr const char* name = "ToChannelsFirst";

  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in);
    s.permutes = true;
    return s;
  }
  static void forward(auto& dev, const auto& at) { to_channels_first(dev, at.x, at.into(at.planar(at.y))); }
  static void backward(auto& dev, const auto& at) { to_channels_last(dev, at.as_const(at.planar(at.dy)), at.dx); }
};

}  // namespace tenon
