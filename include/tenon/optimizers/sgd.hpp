// Sgd: stochastic gradient descent, with momentum, Nesterov's momentum and weight decay, as torch.optim.SGD.
//   It keeps one buffer of the parameters' size, for the momentum.
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "tenon/core/math.hpp"
#include "tenon/cpu/sgd.hpp"
#include "tenon/optimizers/optimizer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct Sgd {
  static constexpr const char* name = "sgd";
  static constexpr int states = 1;
  static constexpr const char* state_names[states] = {"momentum_buffer"};

  double lr = 0.05;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0;  // as a penalty in the gradient
  Decay decay = Decay::everything;

  bool operator==(const Sgd&) const = default;
  void check() const {
    detail::check_option("Sgd", "a momentum", "of 0 or above", momentum, momentum >= 0 && math::is_finite(momentum));
    detail::check_option("Sgd", "a weight_decay", "of 0 or above", weight_decay,
                         weight_decay >= 0 && math::is_finite(weight_decay));
  }
  /// Momentum sums past gradients, up to 1 / (1 - momentum) of them. A decay of more than a whole weight makes it grow.
  double gain(double rate) const {
    if (momentum >= 1 || rate * weight_decay > 1) return std::numeric_limits<double>::infinity();
    return 1 / (1 - momentum);
  }
  bool decays_everything() const { return decay == Decay::everything; }

  template <class T>
  void update(auto& dev, auto step, Span<T> w, Span<const T> g, Span<T>* state, bool decays) const {
    sgd_update(dev, kernels::SgdOptions{momentum, nesterov, decays ? weight_decay : 0}, step, w, g, state[0]);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
