// Selects how the steps of a training are executed. A device that can record steps has a type Recorder. All other devices
// run steps one by one. Trainer calls these members of an execution: prepare, advance, evaluate. Step is a TrainingStep.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/train/execution/recorded.hpp"
#include "tenon/train/execution/step_by_step.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::execution {

namespace detail {

template <class Step, class Device>
struct Choice {
  using type = StepByStep<Step>;
};
template <class Step, class Device>
  requires requires { typename Device::Recorder; }
struct Choice<Step, Device> {
  using type = Recorded<Step>;
};

}  // namespace detail

template <class Step>
using For = typename detail::Choice<Step, typename Step::Device>::type;

}  // namespace tenon::execution

TENON_IEEE_MATH_END
