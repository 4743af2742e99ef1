// The contract between an optimizer and the trainer. An optimizer is a value with
//   double lr;                                     its learning rate, which the schedule scales
//   static constexpr int states;                   how many buffers of the parameters' size it keeps
//   static constexpr const char* state_names[];    what they are called in a checkpoint
//   bool decays_everything() const;                whether weight decay falls on norms and biases, too
//   void check() const;                            throws where a number of it makes no sense; it may be absent
//   void update(device, Span<T> w, Span<const T> g, Span<T>* states, double lr, double scale, std::uint64_t step, bool decay);
// update() is one pass over a range of flat memory whose parameters share `decay`; g is to be taken times `scale`, and
// `step` counts from 0.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/arguments.hpp"
#include "tenon/core/view.hpp"

namespace tenon {

/// Where weight decay applies: to matrices and filters alone, or to norms and biases, too.
enum class Decay { weights, everything };

}  // namespace tenon
