// The options of a Trainer, and the gradient of a user's own loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <type_traits>
#include <utility>

#include "tenon/optimizers/optimizer.hpp"
#include "tenon/optimizers/schedule.hpp"

namespace tenon {

struct TrainerOptions {
  Schedule schedule = {};     // the learning rate for each step, as a factor of the optimizer's rate
  double clip_norm = 0;       // largest global norm of the gradient; 0: no limit
  int micro_batches = 1;      // at most, per update; epoch() uses this many batches of the model's capacity per update
  int steps_per_launch = 64;  // on a device that records steps: at most so many before the host reads their sums

  /// Throws Error for numbers that are not possible.
  const TrainerOptions& checked() const {
    detail::check_option("Trainer", "a clip_norm", "of 0 (none) or above", clip_norm, clip_norm >= 0);
    detail::check_option("Trainer", "micro_batches", "of 1 or above", micro_batches, micro_batches >= 1);
    detail::check_option("Trainer", "steps_per_launch", "of 1 or above", steps_per_launch, steps_per_launch >= 1);
    schedule.check();
    return *this;
  }
};

/// The gradient of your own loss with respect to the outputs: rows of Model::outputs values in memory of the host.
template <class T>
struct OutputGradient {
  std::span<const T> values;
};
template <class V>
OutputGradient(const V&) -> OutputGradient<std::remove_cvref_t<decltype(*std::declval<const V&>().begin())>>;

}  // namespace tenon
