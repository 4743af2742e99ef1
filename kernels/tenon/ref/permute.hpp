// The two orders of an image.
//   x (pixels, channels) -> y (channels, pixels); exchange the two numbers for the inverse
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/config.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::ref {

template <class T>
void permute(const T* x, int pixels, int channels, T* y) {
  for (int p = 0; p < pixels; ++p)
    for (int c = 0; c < channels; ++c) y[c * pixels + p] = x[p * channels + c];
}

}  // namespace tenon::kernels::ref

TENON_IEEE_MATH_END
