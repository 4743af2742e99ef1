// Dropout: in training each value is zero with probability `Rate`, and the others are scaled by 1 / (1 - Rate); at
// inference it vanishes. As torch.nn.Dropout, with a mask that depends on the seed, the step, the sample's place in the
// epoch and the element alone, so it is the same for any number of threads and after a resume.
//   x (B, ...)   ->   y (B, ...)      backward draws the mask again and keeps nothing
// Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/dropout.hpp"
#include "tenon/layers/layer.hpp"

namespace tenon {

/// Rate<1, 2> is one half.
template <int Num, int Den>
struct Rate {};

template <class R = Rate<1, 2>>
struct Dropout;

template <int Num, int Den>
struct Dropout<Rate<Num, Den>> {
  static constexpr const char* name = "Dropout";

  static constexpr LayerSpec infer(Dims in) {
    if (Den < 1 || Num < 0 || Num >= Den)
      return LayerSpec::no(Need::rate_from_0_to_below_1, dims(Num, Den), Remedy::a_Rate_like_1_over_2);
    LayerSpec s = LayerSpec::to(in).draws_random_numbers();
    s.alias = Num == 0;
    s.alias_in_eval = true;
    return s;
  }

  static void forward(auto& dev, const auto& at) {
    dropout_forward(dev, at.random, at.first_sample, at.flat(at.x), Num, Den, at.flat(at.y));
  }
  static void backward(auto& dev, const auto& at) {
    dropout_backward(dev, at.random, at.first_sample, at.flat(at.as_const(at.dy)), Num, Den, at.flat(at.dx));
  }
};

}  // namespace tenon
