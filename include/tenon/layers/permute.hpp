// Conversions between the two orders of an image's values: (C, H, W) outside of a network, and (H, W, C) inside, for the
// kernels. The plan inserts these nodes at the input and output of a network if the two orders differ there.
//   ToChannelsLast    (B, C, H, W) -> (B, H, W, C)        ToChannelsFirst   (B, H, W, C) -> (B, C, H, W)
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/permute.hpp"
#include "tenon/layers/layer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::plan {

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

}  // namespace tenon::plan

TENON_IEEE_MATH_END
