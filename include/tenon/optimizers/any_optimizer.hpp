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

namespace tenon {

template <class... Optimizers>
class OneOf {
 public:
  static constexpr int states = std::max({Optimizers::states...});  // who needs fewer leaves the rest alone

  double lr;

  template <class Optimizer>
    requires(std::is_same_v<Optimizer, Optimizers> || ...)
  OneOf(Optimizer o) : lr(o.lr), chosen_(std::move(o)) {}

  const char* name() const {
    return std::visit([](const auto& o) { return o.name; }, chosen_);
  }
  /// Of the buffers that the chosen one keeps.
  std::span<const char* const> used_states() const {
    return std::visit([](const auto& o) { return std::span<const char* const>(o.state_names); }, chosen_);
  }
  void check() const {
    std::visit([](const auto& o) { o.check(); }, chosen_);
  }
  bool decays_everything() const {
    return std::visit([](const auto& o) { return o.decays_everything(); }, chosen_);
  }

  template <class T>
  void update(auto& dev, Span<T> w, Span<const T> g, Span<T>* state, double rate, double scale, std::uint64_t step,
              bool decays) const {
    std::visit([&](const auto& o) { o.update(dev, w, g, state, rate, scale, step, decays); }, chosen_);
  }

 private:
  std::variant<Optimizers...> chosen_;
};

using AnyOptimizer = OneOf<Sgd, Adam, AdamW>;

}  // namespace tenon
