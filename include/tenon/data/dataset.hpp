// Data sets as the trainer sees them: a number of samples, and two ways to write a batch of them.
//   size()                                                       samples
//   shuffled(device, order, augment, first, x, targets)          rows first, first + 1, ... of a shuffled epoch
//   in_order(device, first, x, targets)                          rows of the set as it is, for evaluation
// x is a view of the batch, (B, inputs) in PyTorch's order. Anything with these three members will do.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tenon/core/arguments.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/gather.hpp"

namespace tenon {

struct ImageOptions {
  double mean = 0, deviation = 1;  // of pixel / 255
  bool shift = false;              // by up to 2 pixels, in training
  bool flip = false;               // left to right at random, in training
};

/// Images and labels as bytes, normalised (and, in training, augmented) as they are gathered. The set must outlive it.
class ImageData {
 public:
  using Options = ImageOptions;

  /// `set` has count, channels, height, width, pixels (planar) and labels, as data/images.hpp loads them.
  template <class Set>
  explicit ImageData(const Set& set, Options options = {}, std::uint64_t limit = 0)
      : images_{set.pixels.data(),           static_cast<std::int64_t>(set.count), static_cast<int>(set.height),
                static_cast<int>(set.width), static_cast<int>(set.channels),       true},
        labels_(set.labels.empty() ? nullptr : set.labels.data()),
        size_(limit > 0 ? std::min<std::uint64_t>(limit, static_cast<std::uint64_t>(set.count))
                        : static_cast<std::uint64_t>(set.count)),
        options_(options) {}

  std::uint64_t size() const { return size_; }
  const Options& options() const { return options_; }

  template <class T, int I>
  void shuffled(auto& dev, const random::Permutation& permutation, const random::Key& augment, std::uint64_t first,
                View<T, Batch, I> x, std::int32_t* labels) const {
    write(dev, Order{true, permutation}, Augmentation{options_.shift, options_.flip, augment}, first, x, labels);
  }
  template <class T, int I>
  void in_order(auto& dev, std::uint64_t first, View<T, Batch, I> x, std::int32_t* labels) const {
    write(dev, Order::sequential(), Augmentation{}, first, x, labels);
  }

 private:
  template <class T, int I>
  void write(auto& dev, const Order& order, const Augmentation& augmentation, std::uint64_t first, View<T, Batch, I> x,
             std::int32_t* labels) const {
    const double mean[4] = {options_.mean, options_.mean, options_.mean, options_.mean};
    const double deviation[4] = {options_.deviation, options_.deviation, options_.deviation, options_.deviation};
    gather_images(dev, images_, order, first, augmentation, Normalisation<T>::from(mean, deviation, images_.c), x,
                  true);
    const Span<std::int32_t> y{labels, static_cast<std::size_t>(x.batch)};
    if (labels_)
      gather_labels(dev, labels_, order, first, y);
    else
      std::fill(y.begin(), y.end(), 0);
  }

  Images images_;
  const std::uint8_t* labels_;
  std::uint64_t size_;
  Options options_;
};

/// Samples of your own: `inputs` values and `targets` targets a sample, rows back to back.
template <class T, class Target>
class Samples {
 public:
  Samples(std::vector<T> x, std::vector<Target> y, std::size_t count)
      : x_(std::move(x)), y_(std::move(y)), count_(count) {
    if (count == 0 || x_.size() % count || y_.size() % count)
      throw Error("Samples", "expected rows of equal length for " + std::to_string(count) + " samples, got " +
                                 std::to_string(x_.size()) + " values and " + std::to_string(y_.size()) + " targets");
  }

  std::uint64_t size() const { return count_; }

  template <int I>
  void shuffled(auto&, const random::Permutation& order, const random::Key&, std::uint64_t first, View<T, Batch, I> x,
                Target* y) const {
    for (int b = 0; b < x.batch; ++b)
      copy(static_cast<std::size_t>(order(first + static_cast<std::uint64_t>(b))), b, x, y);
  }
  template <int I>
  void in_order(auto&, std::uint64_t first, View<T, Batch, I> x, Target* y) const {
    for (int b = 0; b < x.batch; ++b) copy(static_cast<std::size_t>(first) + static_cast<std::size_t>(b), b, x, y);
  }

 private:
  template <int I>
  void copy(std::size_t from, int row, View<T, Batch, I> x, Target* y) const {
    if (x_.size() != count_ * I)
      throw Error("Samples",
                  "expected " + std::to_string(I) + " values a sample, got " + std::to_string(x_.size() / count_));
    const std::size_t targets = y_.size() / count_;
    std::copy_n(x_.data() + from * I, I, x.row(row));
    std::copy_n(y_.data() + from * targets, targets, y + static_cast<std::size_t>(row) * targets);
  }

  std::vector<T> x_;
  std::vector<Target> y_;
  std::size_t count_;
};

}  // namespace tenon
