// BinaryCrossEntropy: on logits, against targets in [0, 1], the mean over all outputs, as torch.nn.BCEWithLogitsLoss.
//   outputs (B, C), targets (B, C)   ->   the mean loss, its gradient (B, C), and how many outputs had the right sign
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/binary_cross_entropy.hpp"
#include "tenon/losses/loss.hpp"

namespace tenon {

/// T is the model's type of values.
template <class T = float>
struct BinaryCrossEntropy {
  using Target = T;

  template <int Outputs>
  static constexpr int targets_a_sample() {
    return Outputs;
  }

  template <int C>
  LossSums operator()(auto& dev, In<T, Batch, C> outputs, const T* targets, Out<T, Batch, C> gradient) const {
    LossSums sums;
    binary_cross_entropy(dev, outputs, targets, gradient, &sums);
    return sums;
  }
};

}  // namespace tenon
