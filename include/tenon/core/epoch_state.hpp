// EpochState: the data that recorded steps and the host exchange once a launch, in addition to the StepState.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/loss_sums.hpp"

namespace tenon::kernels {

/// Data that recorded steps and the host exchange, in addition to the StepState.
struct EpochState {
  static constexpr int max_steps = 64;
  LossSums sums;                              // of the finished steps
  LossSums micro_sums;                        // of the micro-batches of the running step
  std::uint32_t first_step = 0;               // the step of learning_rates[0]
  std::uint32_t stopped_at = 0;               // the step that was not executed, if StepState::stopped is not 0
  double learning_rates[max_steps + 1] = {};  // of the following steps
};

/// The key that identifies a recording.
struct RecordingKey {
  const void* kind = nullptr;  // of the data set
  std::uint64_t samples = 0;   // of an update, or of an evaluated batch
  bool operator==(const RecordingKey&) const = default;
};

}  // namespace tenon::kernels
