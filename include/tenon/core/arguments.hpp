// Run-time arguments of kernels as plain values, the same for every device: what a loss reports, what an optimizer
// step needs, which images make up a batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "tenon/core/config.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/random.hpp"

namespace tenon {

/// What a loss kernel says about a batch. The mean loss is loss_sum / weight_sum, and sums of batches may be added.
struct LossSums {
  double loss_sum = 0;
  double weight_sum = 0;     // rows, their class weights, or elements, as the loss's mean divides by
  std::int64_t correct = 0;  // right decisions, where the loss knows of any,
  std::int64_t count = 0;    // out of so many

  double loss() const { return loss_sum / weight_sum; }
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(count); }
  LossSums operator+(const LossSums& o) const {
    return {loss_sum + o.loss_sum, weight_sum + o.weight_sum, correct + o.correct, count + o.count};
  }
};

template <class T>
struct CrossEntropyOptions {
  T label_smoothing = 0;             // in [0, 1]
  const T* class_weights = nullptr;  // (C), or null: all 1
};

/// One update of parameters by SGD, as torch.optim.SGD with dampening 0. `weight_decay` is L2 in the gradient.
struct SgdStep {
  double learning_rate = 0.05;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double grad_scale = 1;  // multiplies the gradient first: clipping by norm, mean of accumulated batches
};

/// One update of parameters by Adam, as torch.optim.Adam, or AdamW if `decoupled`.
struct AdamStep {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // AdamW: decay the parameter itself, not by way of the gradient
  double grad_scale = 1;
  std::int64_t step = 1;  // of this parameter, counted from 1
};

/// A resident set of images as bytes: (count, h, w, c), or (count, c, h, w) if planar.
struct Images {
  const std::uint8_t* pixels = nullptr;
  std::int64_t count = 0;
  int h = 1, w = 1, c = 1;
  bool planar = false;

  TENON_HD constexpr int sample() const { return h * w * c; }
  /// Throws unless an image is so many values, in few enough channels.
  void require_sample(int values, int most_channels) const {
    if (sample() != values || c > most_channels)
      throw Error("gather_images", "expected images of " + std::to_string(values) + " values and at most " +
                                       std::to_string(most_channels) + " channels, got " + std::to_string(h) + " x " +
                                       std::to_string(w) + " x " + std::to_string(c));
  }
};

/// Which sample of the set stands at a position of the epoch: its own number, or a keyed shuffle.
struct Order {
  bool shuffled = false;
  random::Permutation permutation{};

  static Order sequential() { return {}; }
  static Order shuffle(std::uint64_t n, random::Key key) { return {true, {key, n}}; }
  TENON_HD std::uint64_t operator()(std::uint64_t position) const {
    return shuffled ? permutation(position) : position;
  }
};

/// Random changes of an image, drawn from (key, position in the epoch). Pixels shifted in are 0 before normalisation.
struct Augmentation {
  bool shift = false;  // by -2 .. 2 pixels, each direction
  bool flip = false;   // left to right, every second image
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

/// value = pixel * scale + offset, which is (pixel / 255 - mean) / std, for each of at most 4 channels.
template <class T>
struct Normalisation {
  static constexpr int most_channels = 4;
  T scale[most_channels] = {T(1) / 255, T(1) / 255, T(1) / 255, T(1) / 255};
  T offset[most_channels] = {};

  static Normalisation from(const double* mean, const double* deviation, int channels) {
    Normalisation n;
    for (int c = 0; c < channels && c < most_channels; ++c) {
      n.scale[c] = static_cast<T>(1 / (255 * deviation[c]));
      n.offset[c] = static_cast<T>(-mean[c] / deviation[c]);
    }
    return n;
  }
};

/// All that a gather is told of the set that it takes samples from, but for the place in the epoch.
template <class T>
struct ImageSource {
  Images images;
  const std::uint8_t* labels = nullptr;  // one an image, or null: all are 0
  Order order;
  Augmentation augmentation;
  Normalisation<T> normalisation;
};

}  // namespace tenon
