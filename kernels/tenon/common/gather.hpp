// The description of a data set for kernels that gather batches, the same for every device: ImageSource and RowSource,
// which are in device memory, and their parts.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "tenon/core/config.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/random.hpp"
#include "tenon/core/shape.hpp"
#include "tenon/core/step_state.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// A set of images as bytes: (count, h, w, c), or (count, c, h, w) if planar.
struct Images {
  const std::uint8_t* pixels = nullptr;
  std::int64_t count = 0;
  int h = 1, w = 1, c = 1;
  bool planar = false;

  /// Values of one image.
  TENON_HD constexpr int sample() const { return h * w * c; }

  /// Throws Error unless the images fit a network's Input and have at most `max_channels` channels. They fit an Input of
  /// (C, H, W), of (H, W) if they have one channel, or of (F) with the same number of values.
  __attribute__((cold)) void require_input(const Dims& input, int max_channels) const {
    const bool fits = input.rank == 1   ? input[0] == sample()
                      : input.rank == 2 ? c == 1 && input[0] == h && input[1] == w
                                        : input == dims(c, h, w);
    if (fits && c <= max_channels) return;
    std::string expected = "images of at most " + std::to_string(max_channels) + " channels";
    if (!fits) {
      expected = "images of ";
      for (int i = 0; i < input.rank; ++i) expected.append(i ? " x " : "").append(std::to_string(input[i]));
      expected += " as the network's Input";
    }
    throw Error("ImageData", "expected " + expected + ", got images of " + std::to_string(c) + " x " +
                                 std::to_string(h) + " x " + std::to_string(w) + " (channels, height, width)");
  }
};

/// Maps a position in the epoch to a sample of the set: the position itself, or a keyed shuffle of it.
struct Order {
  bool shuffled = false;
  random::Permutation permutation{};

  TENON_HD static Order sequential() { return {}; }
  TENON_HD static Order shuffle(std::uint64_t n, random::Key key) { return {true, {key, n}}; }
  /// The order of a pass over `size` samples. A training pass is shuffled anew in each epoch.
  TENON_HD static Order of(const StepState& step, Pass pass, std::uint64_t size) {
    return pass == Pass::training ? shuffle(size, step.epoch_key(random::Use::shuffle)) : sequential();
  }
  TENON_HD std::uint64_t operator()(std::uint64_t position) const {
    return shuffled ? permutation(position) : position;
  }
};

/// Random changes of an image, drawn from (key, position in the epoch). Pixels shifted in are 0 before normalization.
struct Augmentation {
  bool shift = false;  // by -2 .. 2 pixels in each direction
  bool flip = false;   // left to right, with probability 1/2
  random::Key key{};

  struct Drawn {
    int down = 0, right = 0;
    bool mirrored = false;
  };
  TENON_HD Drawn draw(std::uint64_t position) const {
    Drawn d;
    if (!shift && !flip) return d;
    const random::Four r = key.words(position, 0);
    if (shift) {
      d.down = static_cast<int>((std::uint64_t{r.v[0]} * 5) >> 32) - 2;
      d.right = static_cast<int>((std::uint64_t{r.v[1]} * 5) >> 32) - 2;
    }
    d.mirrored = flip && (r.v[2] & 1);
    return d;
  }
};

/// value = pixel * scale + offset, which is (pixel / 255 - mean) / deviation, for each of at most 4 channels.
template <class T>
struct Normalisation {
  static constexpr int max_channels = 4;
  T scale[max_channels] = {T(1) / 255, T(1) / 255, T(1) / 255, T(1) / 255};
  T offset[max_channels] = {};

  static Normalisation from(const double* mean, const double* deviation, int channels) {
    Normalisation n;
    for (int c = 0; c < channels && c < max_channels; ++c) {
      n.scale[c] = static_cast<T>(1 / (255 * deviation[c]));
      n.offset[c] = static_cast<T>(-mean[c] / deviation[c]);
    }
    return n;
  }
};

/// Images and labels, and their conversion to values of T. The pointers point to device memory.
template <class T>
struct ImageSource {
  Images images;
  const std::uint8_t* labels = nullptr;  // one for each image; null: all are 0
  std::uint64_t size = 0;                // the first `size` images are used
  bool shift = false, flip = false;      // augmentation in training
  Normalisation<T> normalisation;

  TENON_HD Order order(const StepState& step, Pass pass) const { return Order::of(step, pass, size); }
  TENON_HD Augmentation augmentation(const StepState& step, Pass pass) const {
    const bool training = pass == Pass::training;
    return {training && shift, training && flip, step.epoch_key(random::Use::augment)};
  }
};

/// Rows of values and rows of targets, each contiguous. The pointers point to device memory.
template <class T, class Target>
struct RowSource {
  const T* x = nullptr;             // (size, values)
  const Target* targets = nullptr;  // (size, targets_per_sample); null: all are 0
  std::uint64_t size = 0;
  int values = 0, targets_per_sample = 0;

  TENON_HD Order order(const StepState& step, Pass pass) const { return Order::of(step, pass, size); }
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
