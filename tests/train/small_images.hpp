// For the tests of training: small sets of images, and a network with all layers that could make the bits of a step
// differ.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <tenon/data/images.hpp>
#include <tenon/layers.hpp>
#include <tenon/plan/plan.hpp>

namespace tenon::tests {

// Everything that could make bits depend on threads: convolution, batch statistics, dropout, residuals.
using NetOfAll = Sequential<Input<1, 8, 8>, Conv2d<6, Kernel<3>, Padding<1>>, BatchNorm<>, ReLU, MaxPool2d<2>,
                            Residual<Conv2d<6, Kernel<3>, Padding<1>>, ReLU>, Flatten, Linear<20>, ReLU,
                            Dropout<Rate<1, 4>>, Linear<4>>;

// 8 x 8 images with one bright quarter; the class is its number.
inline ImageSet quarters(int count) {
  ImageSet s{count, 1, 8, 8, {}, {}};
  for (int i = 0; i < count; ++i) {
    const random::Four r = random::Key{9, random::Use::user, 0, 0}.words(static_cast<std::uint64_t>(i), 0);
    const int label = static_cast<int>(r.v[0] % 4);
    s.labels.push_back(static_cast<std::uint8_t>(label));
    for (int y = 0; y < 8; ++y)
      for (int x = 0; x < 8; ++x) {
        const random::Four n = random::Key{9, random::Use::user, 1, 0}.words(static_cast<std::uint64_t>(i),
                                                                             static_cast<std::uint32_t>(y * 8 + x));
        const bool bright = (y / 4) * 2 + x / 4 == label;
        s.pixels.push_back(static_cast<std::uint8_t>(n.v[0] % 100 + (bright ? 100 : 0)));
      }
  }
  return s;
}

// Random 6 x 6 images of ten classes, with nothing to learn.
inline ImageSet random_images(int count) {
  ImageSet set{count, 1, 6, 6, {}, {}};
  const random::Key key{7, random::Use::user, 0, 0};
  for (int i = 0; i < count; ++i) {
    for (std::uint32_t p = 0; p < 36; ++p)
      set.pixels.push_back(static_cast<std::uint8_t>(key.words(static_cast<std::uint64_t>(i), p).v[0]));
    set.labels.push_back(static_cast<std::uint8_t>(i % 10));
  }
  return set;
}

}  // namespace tenon::tests
