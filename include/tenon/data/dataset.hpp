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
#include <memory>
#include <mutex>
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
        options_(options) {
    const std::size_t count = static_cast<std::size_t>(set.count), sample = static_cast<std::size_t>(images_.sample());
    if (set.count < 1 || set.pixels.size() != count * sample || (labels_ && set.labels.size() != count))
      throw Error("ImageData", "expected " + std::to_string(sample) + " pixels and one label for each of " +
                                   std::to_string(set.count) + " images (or no labels at all), got " +
                                   std::to_string(set.pixels.size()) + " pixels and " +
                                   std::to_string(set.labels.size()) + " labels");
  }
  template <class Set>
    requires requires(const Set& set) { set.pixels; }
  explicit ImageData(const Set&&, Options = {}, std::uint64_t = 0) = delete;  // it would be gone

  std::uint64_t size() const { return size_; }
  const Options& options() const { return options_; }

  /// All that shuffled() is made of but the place in the epoch, where the set lies in the memory of the device. It is
  /// copied there by the first call that asks for it.
  template <class T>
  ImageSource<T> source(auto& dev, const random::Permutation& order, const random::Key& augment) const {
    return source_of<T>(dev, Order{true, order}, Augmentation{options_.shift, options_.flip, augment});
  }

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
    const ImageSource<T> s = source_of<T>(dev, order, augmentation);
    gather_batch(dev, s.images, s.labels, s.order, first, s.augmentation, s.normalisation, x,
                 s.labels ? labels : nullptr, true);
    if (!s.labels) fill_zeros(dev, labels, static_cast<std::size_t>(x.batch));
  }
  template <class T>
  ImageSource<T> source_of(auto& dev, const Order& order, const Augmentation& augmentation) const {
    const double mean[4] = {options_.mean, options_.mean, options_.mean, options_.mean};
    const double deviation[4] = {options_.deviation, options_.deviation, options_.deviation, options_.deviation};
    const auto [images, labels] = bytes_on(dev);
    return {images, labels, order, augmentation, Normalisation<T>::from(mean, deviation, images.c)};
  }

  struct Bytes {
    Images images;
    const std::uint8_t* labels;
  };
  // A copy of the set in the memory of a device, made once for each and kept for as long as this.
  template <class Device>
  struct Resident {
    typename Device::template Buffer<std::uint8_t> pixels, labels;
  };

  template <class Device>
  Bytes bytes_on(Device& dev) const {
    if constexpr (Device::host_memory) {
      return {images_, labels_};
    } else {
      static const char tag = 0;  // one for each type of device
      int gpu = 0;
      if constexpr (requires { dev.ordinal(); }) gpu = dev.ordinal();
      const std::lock_guard lock(residents_->mutex);
      auto& copies = residents_->copies;
      const auto have =
          std::find_if(copies.begin(), copies.end(), [&](const auto& c) { return c.tag == &tag && c.gpu == gpu; });
      const Resident<Device>* there = nullptr;
      if (have != copies.end()) {
        there = static_cast<const Resident<Device>*>(have->memory.get());
      } else {
        auto r = std::make_shared<Resident<Device>>();
        const std::size_t n = static_cast<std::size_t>(images_.count);
        r->pixels = allocate<std::uint8_t>(dev, n * static_cast<std::size_t>(images_.sample()));
        upload(dev, images_.pixels, r->pixels.data(), r->pixels.size());
        if (labels_) {
          r->labels = allocate<std::uint8_t>(dev, n);
          upload(dev, labels_, r->labels.data(), n);
        }
        wait(dev);  // others of that device may have streams of their own
        there = r.get();
        copies.push_back({&tag, gpu, std::move(r)});
      }
      Images images = images_;
      images.pixels = there->pixels.data();
      return {images, labels_ ? there->labels.data() : nullptr};
    }
  }

  Images images_;
  const std::uint8_t* labels_;
  std::uint64_t size_;
  Options options_;
  // What was copied to devices, by any thread; copies of this share it.
  struct Residents {
    struct Copy {
      const void* tag;
      int gpu;
      std::shared_ptr<void> memory;
    };
    std::mutex mutex;
    std::vector<Copy> copies;
  };
  std::shared_ptr<Residents> residents_ = std::make_shared<Residents>();
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
  std::size_t targets_a_sample() const { return y_.size() / count_; }

  template <int I>
  void shuffled(auto& dev, const random::Permutation& order, const random::Key&, std::uint64_t first,
                View<T, Batch, I> x, Target* y) const {
    write(
        dev, [&](int b) { return order(first + static_cast<std::uint64_t>(b)); }, x, y);
  }
  template <int I>
  void in_order(auto& dev, std::uint64_t first, View<T, Batch, I> x, Target* y) const {
    write(
        dev, [&](int b) { return first + static_cast<std::uint64_t>(b); }, x, y);
  }

 private:
  // Rows from(0), from(1), ... of the set; of a device whose memory the host may not touch, one copy for them all.
  template <class Device, class From, int I>
  void write(Device& dev, From from, View<T, Batch, I> x, Target* y) const {
    if (x_.size() != count_ * I)
      throw Error("Samples",
                  "expected " + std::to_string(I) + " values a sample, got " + std::to_string(x_.size() / count_));
    const std::size_t targets = targets_a_sample();
    T* rows = x.data;
    Target* row_targets = y;
    if constexpr (!Device::host_memory) {
      rows_.resize(x.size());
      row_targets_.resize(static_cast<std::size_t>(x.batch) * targets);
      rows = rows_.data(), row_targets = row_targets_.data();
    }
    for (int b = 0; b < x.batch; ++b) {
      const std::size_t sample = static_cast<std::size_t>(from(b)), to = static_cast<std::size_t>(b);
      std::copy_n(x_.data() + sample * I, I, rows + to * I);
      std::copy_n(y_.data() + sample * targets, targets, row_targets + to * targets);
    }
    if constexpr (!Device::host_memory) {
      upload(dev, rows, x.data, x.size());
      upload(dev, row_targets, y, row_targets_.size());
    }
  }

  std::vector<T> x_;
  std::vector<Target> y_;
  std::size_t count_;
  mutable std::vector<T> rows_;  // a batch on its way to a device
  mutable std::vector<Target> row_targets_;
};

}  // namespace tenon
