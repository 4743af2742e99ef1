// CrossEntropy: softmax cross-entropy of logits with class labels, as torch.nn.CrossEntropyLoss.
//   outputs (B, C), labels (B) in [0, C)   ->   the mean loss, its gradient (B, C), and how many labels were hit
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "tenon/cpu/cross_entropy.hpp"
#include "tenon/losses/loss.hpp"

namespace tenon {

struct CrossEntropy {
  using Target = std::int32_t;

  float label_smoothing = 0;         // in [0, 1): so much of each target is spread evenly over the classes
  std::vector<float> class_weights;  // empty: all 1

  template <int Outputs>
  static constexpr int targets_a_sample() {
    return 1;
  }

  template <class T, int C>
  LossSums operator()(auto& dev, In<T, Batch, C> outputs, const Target* labels, Out<T, Batch, C> gradient) const {
    if (!class_weights.empty() && class_weights.size() != C)
      throw Error("CrossEntropy",
                  "expected " + std::to_string(C) + " class weights, got " + std::to_string(class_weights.size()));
    const float smoothing = label_smoothing;
    detail::check_option("CrossEntropy", "a label_smoothing", "from 0 to below 1", smoothing,
                         smoothing >= 0 && smoothing < 1);
    for (const float w : class_weights)
      detail::check_option("CrossEntropy", "class weights", "of 0 or above", w, w >= 0);
    check_labels(dev, labels, outputs.batch, C);  // throws; a GPU's does nothing, and the loss becomes NaN
    T weights[C];
    for (std::size_t c = 0; c < class_weights.size(); ++c) weights[c] = static_cast<T>(class_weights[c]);
    CrossEntropyOptions<T> options;
    options.label_smoothing = static_cast<T>(label_smoothing);
    options.class_weights = class_weights.empty() ? nullptr : weights;
    LossSums sums;
    cross_entropy(dev, outputs, labels, options, gradient, &sums);
    return sums;
  }
};

}  // namespace tenon
