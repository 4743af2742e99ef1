// The sums that a loss reports for a batch, and the reduction over the batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/error.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// Sums over samples. The mean loss is loss_sum / weight_sum. The sums of two batches may be added.
struct LossSums {
  double loss_sum = 0;
  double weight_sum = 0;     // divisor of the mean: number of samples, their class weights, or number of elements
  std::int64_t correct = 0;  // correct decisions
  std::int64_t count = 0;    // decisions; 0 if the loss makes none (MeanSquaredError)

  /// The mean loss; NaN if there is none, because weight_sum is 0 (no samples, or only classes of weight 0).
  double loss() const { return loss_sum / weight_sum; }
  bool has_accuracy() const { return count > 0; }
  /// The fraction of correct decisions. Throws Error if the loss makes no decisions.
  double accuracy() const {
    if (!has_accuracy())
      throw Error("accuracy",
                  "expected a loss that counts decisions (CrossEntropy, BinaryCrossEntropy), got none counted");
    return static_cast<double>(correct) / static_cast<double>(count);
  }
  LossSums operator+(const LossSums& o) const {
    return {loss_sum + o.loss_sum, weight_sum + o.weight_sum, correct + o.correct, count + o.count};
  }
};

/// Whether a loss computes the gradient of the mean over the batch or of the sum. The reported sums are the same.
enum class Reduction { mean, sum };

}  // namespace tenon

TENON_IEEE_MATH_END
