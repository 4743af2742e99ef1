// BinaryCrossEntropy of logits and targets in [0, 1], the mean over all outputs, as torch.nn.BCEWithLogitsLoss.
//   outputs (B, C), targets (B, C)   ->   sums, the gradient (B, C), and the number of outputs with the correct sign
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/binary_cross_entropy.hpp"
#include "tenon/losses/loss.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// T is the model's type of values.
template <class T = float>
struct BinaryCrossEntropy {
  using Target = T;

  template <int Outputs>
  static constexpr int targets_per_sample() {
    return Outputs;
  }

  void operator()(auto& dev, const auto& at) const {
    binary_cross_entropy(dev, at.outputs, at.targets, at.reduction, at.gradient, at.sums);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
