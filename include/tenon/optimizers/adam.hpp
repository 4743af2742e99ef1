// Adam and AdamW: steps scaled by running means of the gradient and of its square, as torch.optim.Adam and AdamW.
//   two buffers of the parameters' size
// Source: Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015;
//         Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/adam.hpp"
#include "tenon/optimizers/optimizer.hpp"

namespace tenon {

namespace detail {

struct AdamBuffers {
  static constexpr int states = 2;
  static constexpr const char* state_names[states] = {"exp_avg", "exp_avg_sq"};
};

}  // namespace detail

/// Weight decay, if any, is a penalty in the gradient, and falls on every parameter unless `decay` says otherwise.
struct Adam : detail::AdamBuffers {
  static constexpr const char* name = "adam";

  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  Decay decay = Decay::everything;

  Adam() = default;
  explicit Adam(double learning_rate) : lr(learning_rate) {}

  bool decays_everything() const { return decay == Decay::everything; }

  template <class T>
  void update(auto& dev, Span<T> w, Span<const T> g, Span<T>* state, double rate, double scale, std::uint64_t step,
              bool decays) const {
    const AdamStep s{
        rate, beta1, beta2, epsilon, decays ? weight_decay : 0, false, scale, static_cast<std::int64_t>(step) + 1};
    adam_update(dev, s, w, g, state[0], state[1]);
  }
};

/// Weight decay shrinks the weights themselves; norms and biases are spared unless `decay` says otherwise.
struct AdamW : detail::AdamBuffers {
  static constexpr const char* name = "adamw";

  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  Decay decay = Decay::weights;

  AdamW() = default;
  explicit AdamW(double learning_rate) : lr(learning_rate) {}

  bool decays_everything() const { return decay == Decay::everything; }

  template <class T>
  void update(auto& dev, Span<T> w, Span<const T> g, Span<T>* state, double rate, double scale, std::uint64_t step,
              bool decays) const {
    const AdamStep s{
        rate, beta1, beta2, epsilon, decays ? weight_decay : 0, true, scale, static_cast<std::int64_t>(step) + 1};
    adam_update(dev, s, w, g, state[0], state[1]);
  }
};

}  // namespace tenon
