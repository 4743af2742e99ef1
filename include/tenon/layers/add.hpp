// Add: the last node of a Residual. It adds the two branches: y = x + x2.
//   x, x2 (B, ...)   ->   y (B, ...)      backward needs neither
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/elementwise.hpp"
#include "tenon/layers/layer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::plan {

struct Add {
  static constexpr const char* name = "Add";

  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }

  static void forward(auto& dev, const auto& at) { add_forward(dev, at.flat(at.x), at.flat(at.x2), at.flat(at.y)); }

  static void backward(auto& dev, const auto& at) {
    accumulate(dev, at.flat(at.dy), at.flat(at.dx));
    accumulate(dev, at.flat(at.dy), at.flat(at.dx2));
  }
};

}  // namespace tenon::plan

TENON_IEEE_MATH_END
