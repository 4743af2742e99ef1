// Selects how the steps of a training are executed. A device that can record steps has a type Recorder. All other devices
// run steps one by one. The trainer calls these members of an execution: prepare, advance, evaluate.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/train/execution/recorded.hpp"
#include "tenon/train/execution/step_by_step.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::execution {

namespace detail {

template <class Trainer, class Device>
struct Choice {
  using type = StepByStep<Trainer>;
};
template <class Trainer, class Device>
  requires requires { typename Device::Recorder; }
struct Choice<Trainer, Device> {
  using type = Recorded<Trainer>;
};

}  // namespace detail

template <class Trainer>
using For = typename detail::Choice<Trainer, typename Trainer::Device>::type;

}  // namespace tenon::execution

TENON_IEEE_MATH_END
