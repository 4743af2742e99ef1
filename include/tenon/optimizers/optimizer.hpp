// The contract between an optimizer and the trainer. An optimizer is a value with
//   double lr;                                     its learning rate, which the schedule scales
//   static constexpr int states;                   the number of buffers of the parameters' size that it keeps
//   static constexpr const char* state_names[];    their names in a checkpoint (not needed if states is 0)
//   bool decays_everything() const;                true if weight decay applies to norms and biases too
//   bool operator==(const X&) const = default;     a step is recorded again if an option other than lr changes
//   void check() const;                            optional: throws Error if an option is invalid
//   double gain(double rate) const;                optional, default 1: an update changes a weight by at most
//                                                  rate (1 + norm of the gradient) gain(rate). Above a limit the trainer
//                                                  checks the update. Infinity if nothing bounds it.
//   void update(auto& device, auto step, Span<T> w, Span<const T> g, Span<T>* states, bool decays) const;
//
// update() is one pass over a range of flat memory whose parameters have the same `decays`. `step` is a StepPointer:
// kernels read the learning rate, the gradient's scale and the number of the step from it. They change no memory if
// step->stopped is not 0. On Cuda update() is recorded once and replayed, so numbers that change from step to step must not
// be passed by value. The options above may be.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>

#include "tenon/core/error.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// Where weight decay applies: only to matrices and filters, or to norms and biases too.
enum class Decay { weights, everything };

namespace contract {

/// The members above. update() is a template, so the compiler checks it where it is used.
template <class O>
concept Optimizer = std::copyable<O> && std::equality_comparable<O> && requires(O o, const O& c) {
  { o.lr } -> std::same_as<double&>;
  { O::states } -> std::convertible_to<int>;
  { c.decays_everything() } -> std::convertible_to<bool>;
};

}  // namespace contract

namespace detail {

/// optimizer.gain(rate), or 1 if the optimizer has no such member.
template <class O>
double gain_of(const O& optimizer, [[maybe_unused]] double rate) {
  if constexpr (requires { optimizer.gain(rate); })
    return optimizer.gain(rate);
  else
    return 1;
}

template <class O>
concept HasRate = requires(O o) {
  { o.lr } -> std::same_as<double&>;
};
template <class O>
concept HasStates = requires {
  { O::states } -> std::convertible_to<int>;
};
template <class O>
concept NamesStates = requires {
  O::state_names[0];
};
template <class O>
concept NamesUsedStates = requires(const O& o) {
  o.used_states();
};
template <class O>
concept HasStateNames = O::states == 0 || NamesStates<O> || NamesUsedStates<O>;
template <class O>
concept HasDecay = requires(const O& o) {
  { o.decays_everything() } -> std::convertible_to<bool>;
};

/// Gives one compile error that names the missing member.
template <class O>
constexpr bool check_optimizer() {
  if constexpr (!HasRate<O>)
    static_assert(HasRate<O>, "tenon: an optimizer needs a member `double lr` (optimizers/optimizer.hpp)");
  else if constexpr (!HasStates<O>)
    static_assert(HasStates<O>, "tenon: an optimizer needs `static constexpr int states` (optimizers/optimizer.hpp)");
  else if constexpr (!HasStateNames<O>)
    static_assert(
        HasStateNames<O>,
        "tenon: an optimizer with states needs `static constexpr const char* state_names[states]`, their names "
        "in a checkpoint (optimizers/optimizer.hpp)");
  else if constexpr (!HasDecay<O>)
    static_assert(HasDecay<O>, "tenon: an optimizer needs `bool decays_everything() const` (optimizers/optimizer.hpp)");
  else if constexpr (!std::equality_comparable<O>)
    static_assert(std::equality_comparable<O>,
                  "tenon: an optimizer needs `bool operator==(const X&) const = default` (optimizers/optimizer.hpp)");
  else
    static_assert(std::copyable<O>, "tenon: an optimizer is a value that can be copied (optimizers/optimizer.hpp)");
  return true;
}

}  // namespace detail
}  // namespace tenon

TENON_IEEE_MATH_END
