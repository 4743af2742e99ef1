// Dropout: training sets each value to zero with probability `Rate` and scales the others by 1 / (1 - Rate). Inference
// removes the layer. As torch.nn.Dropout. The mask depends only on the seed, the step, the sample's position in the epoch
// and the element, so it is the same for any number of threads and after a resumed training.
//   x (B, ...)   ->   y (B, ...)      backward draws the mask again; nothing is saved
// Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cpu/dropout.hpp"
#include "tenon/layers/options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// `Dropout<>`, `Dropout<Rate<1, 4>>`. The default rate is one half.
template <auto R = Rate<1, 2>>
struct Dropout {
  static constexpr const char* name = "Dropout";

  static constexpr LayerSpec infer(Dims in) {
    if constexpr (!detail::is_option<detail::option_type<R>, layer_options::Rate>) {
      return LayerSpec::no(Need::options_that_this_layer_takes, in, Remedy::a_Rate_like_1_over_2);
    } else {
      if (R.den < 1 || R.num < 0 || R.num >= R.den)
        return LayerSpec::no(Need::rate_from_0_to_below_1, dims(R.num, R.den), Remedy::a_Rate_like_1_over_2);
      LayerSpec s = LayerSpec::to(in).draws_random_numbers();
      s.alias = R.num == 0;
      s.alias_in_eval = true;
      return s;
    }
  }

  static void forward(auto& dev, const auto& at) {
    dropout_forward(dev, at.step(), at.layer, at.flat(at.x), R.num, R.den, at.flat(at.y));
  }
  static void backward(auto& dev, const auto& at) {
    dropout_backward(dev, at.step(), at.layer, at.flat(at.as_const(at.dy)), R.num, R.den, at.flat(at.dx));
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
