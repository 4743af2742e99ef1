// Adam and AdamW: steps scaled by running means of the gradient and of its square, as torch.optim.Adam and AdamW.
//   They keep two buffers of the parameters' size.
// Source: Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015;
//         Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "tenon/core/math.hpp"
#include "tenon/cpu/adam.hpp"
#include "tenon/optimizers/optimizer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace detail {

/// Throws Error for options that are invalid for both optimizers.
inline void check_adam(const char* name, double beta1, double beta2, double epsilon, double weight_decay) {
  check_option(name, "beta1", "from 0 to below 1", beta1, beta1 >= 0 && beta1 < 1);
  check_option(name, "beta2", "from 0 to below 1", beta2, beta2 >= 0 && beta2 < 1);
  // With an epsilon that a float rounds to 0, a gradient of 0 makes the weight 0 / 0.
  check_option(name, "an epsilon", "of 1e-30 or above", epsilon, epsilon >= 1e-30);
  check_option(name, "a weight_decay", "of 0 or above", weight_decay,
               weight_decay >= 0 && math::is_finite(weight_decay));
}

}  // namespace detail

/// Weight decay is a penalty in the gradient. By default (see `decay`) it applies to every parameter.
struct Adam {
  static constexpr const char* name = "adam";
  static constexpr int states = 2;
  static constexpr const char* state_names[states] = {"exp_avg", "exp_avg_sq"};

  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  Decay decay = Decay::everything;

  bool operator==(const Adam&) const = default;
  void check() const { detail::check_adam("Adam", beta1, beta2, epsilon, weight_decay); }
  bool decays_everything() const { return decay == Decay::everything; }

  template <class T>
  void update(auto& dev, auto step, Span<T> w, Span<const T> g, Span<T>* state, bool decays) const {
    adam_update(dev, kernels::AdamOptions{beta1, beta2, epsilon, decays ? weight_decay : 0, false}, step, w, g,
                state[0], state[1]);
  }
};

/// Weight decay shrinks the weights directly. By default (see `decay`) it does not apply to norms and biases.
struct AdamW {
  static constexpr const char* name = "adamw";
  static constexpr int states = 2;
  static constexpr const char* state_names[states] = {"exp_avg", "exp_avg_sq"};

  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  Decay decay = Decay::weights;

  bool operator==(const AdamW&) const = default;
  void check() const { detail::check_adam("AdamW", beta1, beta2, epsilon, weight_decay); }
  /// A decay of more than a whole weight makes it grow. (Adam adds its decay to the gradient, which it divides by its size.)
  double gain(double rate) const { return rate * weight_decay > 1 ? std::numeric_limits<double>::infinity() : 1; }
  bool decays_everything() const { return decay == Decay::everything; }

  template <class T>
  void update(auto& dev, auto step, Span<T> w, Span<const T> g, Span<T>* state, bool decays) const {
    adam_update(dev, kernels::AdamOptions{beta1, beta2, epsilon, decays ? weight_decay : 0, true}, step, w, g, state[0],
                state[1]);
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
