// The contract between a loss and a model. A loss is a value with
//   using Target = ...;                                     the element type of its targets
//   static constexpr int targets_per_sample<Outputs>();     1, or one for each output
//   void operator()(auto& device, const auto& at) const;    reads at.outputs and at.targets; writes *at.sums, at.gradient
//   void check() const;                                     optional: throws Error if one of its options is invalid
//   static constexpr diagnostics::Misfit accepts(Dims outputs);    optional: what the loss requires of a network's outputs
// `at` is a LossContext. All its pointers point to memory of the device, so the kernel of a loss writes the numbers that
// it reports. On the Cpu a plain assignment is enough. The gradient is that of loss_sum / weight_sum for Reduction::mean,
// and that of loss_sum for Reduction::sum. check_loss (train/check_gradients.hpp) tests a loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "tenon/core/loss_sums.hpp"
#include "tenon/core/require.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// The argument of a loss. There are `Outputs` values for each sample.
template <class T, class Target_, int Outputs, class Device>
struct LossContext {
  using value_type = T;
  using Target = Target_;
  static constexpr int outputs_per_sample = Outputs;

  In<T, Batch, Outputs> outputs;
  const Target* targets;  // targets_per_sample values for each sample
  Reduction reduction;
  Out<T, Batch, Outputs> gradient;  // with respect to the outputs; null: only the sums are needed
  LossSums* sums;                   // of the batch
  const StepState* step_address;    // memory of the device

  /// A pointer to the state of the running step, as layers get it.
  StepPointer<Device> step() const { return StepPointer<Device>(step_address); }
};

namespace contract {

/// The members above. The call is a template, so the compiler checks it where it is used.
template <class L>
concept Loss = std::copyable<L> && requires {
  typename L::Target;
  { L::template targets_per_sample<1>() } -> std::convertible_to<int>;
};

}  // namespace contract

namespace detail {

template <class L>
concept HasTarget = requires {
  typename L::Target;
};

/// Gives one compile error that names the missing member.
template <class L>
constexpr bool check_loss_contract() {
  if constexpr (!HasTarget<L>)
    static_assert(HasTarget<L>, "tenon: a loss needs `using Target = ...` (losses/loss.hpp)");
  else
    static_assert(contract::Loss<L>,
                  "tenon: a loss needs `template <int Outputs> static constexpr int targets_per_sample()` "
                  "(losses/loss.hpp)");
  return true;
}

}  // namespace detail
}  // namespace tenon

namespace tenon::plan {

/// Checks at compile time that Loss accepts the outputs of Net. Otherwise one error names the loss and the shape.
template <class Loss, class Net>
constexpr bool check_loss() {
  if constexpr (requires { Loss::accepts(Dims{}); }) {
    constexpr diagnostics::Misfit misfit = Loss::accepts(Net::output);
    if constexpr (bool(misfit)) diagnostics::complain<diagnostics::loss<Loss>, misfit>();
  }
  return true;
}

}  // namespace tenon::plan

TENON_IEEE_MATH_END
