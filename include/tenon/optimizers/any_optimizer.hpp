// AnyOptimizer: one of several optimizers, chosen at run time, so that a program compiles its trainer once.
//   AnyOptimizer optimizer = name == "sgd" ? AnyOptimizer(Sgd{}) : AnyOptimizer(Adam{});
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "tenon/optimizers/adam.hpp"
#include "tenon/optimizers/sgd.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

template <class... Optimizers>
class VariantOptimizer {
 public:
  /// The maximum over the optimizers. An optimizer with fewer states leaves the rest unused.
  static constexpr int states = std::max({Optimizers::states...});

  double lr;

  template <class Optimizer>
    requires(std::is_same_v<Optimizer, Optimizers> || ...)
  VariantOptimizer(Optimizer o) : lr(o.lr), chosen_(std::move(o)) {}

  bool operator==(const VariantOptimizer&) const = default;
  const char* name() const {
    return std::visit([](const auto& o) { return o.name; }, chosen_);
  }
  /// The names of the buffers that the chosen optimizer keeps.
  std::span<const char* const> used_states() const {
    return std::visit(
        [](const auto& o) -> std::span<const char* const> {
          if constexpr (std::remove_cvref_t<decltype(o)>::states > 0)
            return std::span<const char* const>(o.state_names);
          else
            return {};
        },
        chosen_);
  }
  void check() const {
    std::visit(
        [](const auto& o) {
          if constexpr (requires { o.check(); }) o.check();
        },
        chosen_);
  }
  double gain(double rate) const {
    return std::visit([&](const auto& o) { return detail::gain_of(o, rate); }, chosen_);
  }
  bool decays_everything() const {
    return std::visit([](const auto& o) { return o.decays_everything(); }, chosen_);
  }

  template <class T>
  void update(auto& dev, auto step, Span<T> w, Span<const T> g, Span<T>* state, bool decays) const {
    std::visit([&](const auto& o) { o.update(dev, step, w, g, state, decays); }, chosen_);
  }

 private:
  std::variant<Optimizers...> chosen_;
};

using AnyOptimizer = VariantOptimizer<Sgd, Adam, AdamW>;

}  // namespace tenon

TENON_IEEE_MATH_END
