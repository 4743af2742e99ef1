// CrossEntropy: softmax cross-entropy of logits with class labels, as torch.nn.CrossEntropyLoss.
//   outputs (B, C), labels (B) in [0, C)   ->   sums, the gradient (B, C), and the number of correct predictions
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "tenon/cpu/cross_entropy.hpp"
#include "tenon/losses/loss.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct CrossEntropy {
  using Target = std::int32_t;

  float label_smoothing = 0;  // in [0, 1): this fraction of each target is distributed evenly over the classes
  std::vector<float> class_weights = {};  // one for each class, not all 0; empty: all 1

  /// There is one label for each sample, so the network's output has one dimension: the classes.
  static constexpr diagnostics::Misfit accepts(Dims outputs) {
    if (outputs.rank == 1) return {};
    return {Need::network_output_of_one_dimension, Remedy::end_the_network_with_Flatten_or_GlobalAvgPool, outputs};
  }

  template <int Outputs>
  static constexpr int targets_per_sample() {
    return 1;
  }

  /// Throws Error if an option is invalid.
  void check() const {
    const double smoothing = static_cast<double>(label_smoothing);
    detail::check_option("CrossEntropy", "a label_smoothing", "from 0 to below 1", smoothing,
                         smoothing >= 0 && smoothing < 1);
    double sum = 0;
    for (const float w : class_weights) {
      detail::check_option("CrossEntropy", "class weights", "of 0 or above", static_cast<double>(w), w >= 0);
      sum += static_cast<double>(w);
    }
    if (!class_weights.empty())
      detail::check_option("CrossEntropy", "class weights", "of which one is above 0", sum, sum > 0);
  }

  void operator()(auto& dev, const auto& at) const {
    using Context = std::remove_cvref_t<decltype(at)>;
    constexpr int C = Context::outputs_per_sample;
    if (!class_weights.empty() && class_weights.size() != C)
      throw Error("CrossEntropy",
                  "expected " + std::to_string(C) + " class weights, got " + std::to_string(class_weights.size()));
    check_labels(dev, at.targets, at.outputs.batch, C);  // a no-op on a GPU, where a wrong label makes the loss NaN
    kernels::CrossEntropyOptions options;
    options.label_smoothing = label_smoothing;
    options.class_weights = class_weights.empty() ? nullptr : class_weights.data();
    cross_entropy(dev, at.outputs, at.targets, options, at.reduction, at.gradient, at.sums);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
