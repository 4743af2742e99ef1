// The progress of a training, and the error of a step whose result is not finite.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "tenon/core/error.hpp"
#include "tenon/core/loss_sums.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// Thrown if the loss, a gradient or an update is NaN or infinite. The weights are then those before the step. If the
/// previous update was unusually large, they are those before that update, which are known to give a finite loss.
class NonFinite : public Error {
 public:
  NonFinite(std::string_view what, std::uint64_t at_step, std::string first_seen_in)
      : Error("train", "expected a finite " + std::string(what) + ", got NaN or infinity in step " +
                           std::to_string(at_step) + ", first in " + first_seen_in +
                           ": lower the learning rate, clip the gradient, or look for bad values in the data"),
        step(at_step),
        layer(std::move(first_seen_in)) {}

  std::uint64_t step;
  std::string layer;
};

/// The progress of a training: everything that resuming needs in addition to weights, states and the optimizer's buffers.
struct Progress {
  static constexpr std::uint64_t max_steps = 0xffffffff;  // a StepState holds the step in 32 bits

  std::uint64_t step = 0;      // number of updates
  std::uint32_t epoch = 0;     // finished epochs
  std::uint64_t position = 0;  // finished samples of the running epoch
  LossSums sums{};             // of the running epoch
};

}  // namespace tenon

TENON_IEEE_MATH_END
