// The contract between a data set and the trainer. There are two kinds of data sets. A class needs the members of one kind.
//
//   both       std::uint64_t size() const;                 samples
//              using Target = ...;                         optional: element type of its targets, checked against the loss
//              std::size_t targets_per_sample() const;     optional: checked against the loss
//              const void* identity() const;               optional: distinguishes data sets (an epoch that was begun with
//                                                          one must not go on with another); default: the address
//              bool has_targets() const;                   optional: without targets there are outputs, but no loss
//              void require_input(const Dims&) const;      optional: throws Error unless samples fit the network's Input
//
//   resident   kernels gather its batches from memory of the device, so that whole steps can be recorded:
//              template <class T, class Target> using Source = ...;
//                a trivially copyable value with all that a kernel needs except the step; T: the model's type of values
//              Source<T, Target> source<T, Target>(auto& device) const;
//              static void gather(auto& device, auto source, auto step, Pass, View<T, Batch, I> x, Target* targets,
//                                 int targets_per_sample);
//                source, step, x and targets are memory of the device; only kernels dereference the pointers
//
//   streamed   the host writes its batches:
//              void read(const StepState& step, Pass, View<T, Batch, I> x, Target* targets) const;
//                x and targets are memory of the host
//
// Row b of a batch is sample order(step.first_sample + b). In training the order is a shuffle that depends on the seed and
// the epoch, in evaluation it is that of the set. x is in PyTorch's order, (B, values).
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/common/gather.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/shape.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/data/resident.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace contract {

template <class D, class T, class Target, class Device>
concept ResidentData = requires(const D& d, Device& dev) {
  { d.size() } -> std::convertible_to<std::uint64_t>;
  { d.template source<T, Target>(dev) } -> std::same_as<typename D::template Source<T, Target>>;
};

/// A resident data set that can also gather images in channels-last order, by gather_channels_last().
template <class D>
concept ChannelsLastData = requires {
  requires D::gathers_channels_last;
};

template <class D, class T, class Target, int Inputs>
concept StreamedData = requires(const D& d, const StepState& step, View<T, Batch, Inputs> x, Target* y) {
  { d.size() } -> std::convertible_to<std::uint64_t>;
  d.read(step, Pass::training, x, y);
};

}  // namespace contract

struct ImageOptions {
  double mean = 0, deviation = 1;  // of pixel / 255
  bool shift = false;              // by up to 2 pixels, in training
  bool flip = false;               // left to right at random, in training
};

/// Images and labels as bytes. Gathering normalizes the images and, in training, augments them. The set must outlive this
/// object.
class ImageData {
 public:
  using Options = ImageOptions;
  using Target = std::int32_t;
  template <class T, class>
  using Source = kernels::ImageSource<T>;
  static constexpr bool gathers_channels_last = true;

  /// `set` has count, channels, height, width, pixels (planar) and labels, like the sets of data/images.hpp. Pixels and
  /// labels are std::uint8_t. If `limit` is above 0, only the first `limit` images are used. Throws Error if there are no
  /// images, or if the numbers of pixels and labels do not match them.
  template <class Set>
  explicit ImageData(const Set& set, Options options = {}, std::uint64_t limit = 0)
      : images_{bytes_in(set.pixels),        static_cast<std::int64_t>(set.count), static_cast<int>(set.height),
                static_cast<int>(set.width), static_cast<int>(set.channels),       true},
        labels_(set.labels.empty() ? nullptr : bytes_in(set.labels)),
        size_(limit > 0 ? std::min<std::uint64_t>(limit, static_cast<std::uint64_t>(set.count))
                        : static_cast<std::uint64_t>(set.count)),
        options_(options) {
    const std::size_t count = static_cast<std::size_t>(set.count), sample = static_cast<std::size_t>(images_.sample());
    if (set.count < 1 || set.pixels.size() != count * sample || (labels_ && set.labels.size() != count))
      throw Error("ImageData", "expected " + std::to_string(sample) + " pixels and one label for each of " +
                                   std::to_string(set.count) + " images (or no labels at all), got " +
                                   std::to_string(set.pixels.size()) + " pixels and " +
                                   std::to_string(set.labels.size()) + " labels");
    detail::check_option("ImageData", "a mean", "that is finite", options.mean, math::is_finite(options.mean));
    detail::check_option("ImageData", "a deviation", "above 0", options.deviation,
                         options.deviation > 0 && math::is_finite(options.deviation));
  }
  template <class Set>
    requires requires(const Set& set) { set.pixels; }
  explicit ImageData(const Set&&, Options = {}, std::uint64_t = 0) = delete;  // the set would be destroyed

  std::uint64_t size() const { return size_; }
  bool has_targets() const { return labels_ != nullptr; }
  const Options& options() const { return options_; }
  /// Distinguishes data sets: an epoch that was begun with one data set must not continue with another one.
  const void* identity() const { return images_.pixels; }

  /// Throws Error unless the images fit a network's Input: (C, H, W) of the same shape, (H, W) if they have one channel, or
  /// (F) with the same number of values.
  void require_input(const Dims& input) const {
    images_.require_input(input, kernels::Normalisation<float>::max_channels);
  }

  template <class T, class>
  kernels::ImageSource<T> source(auto& dev) const {
    const double mean[4] = {options_.mean, options_.mean, options_.mean, options_.mean};
    const double deviation[4] = {options_.deviation, options_.deviation, options_.deviation, options_.deviation};
    kernels::ImageSource<T> s{};
    s.images = images_;
    const std::size_t count = static_cast<std::size_t>(images_.count);
    s.images.pixels = residents_.of(dev, images_.pixels, count * static_cast<std::size_t>(images_.sample()));
    s.labels = residents_.of(dev, labels_, count);
    s.size = size_;
    s.shift = options_.shift;
    s.flip = options_.flip;
    s.normalisation = kernels::Normalisation<T>::from(mean, deviation, images_.c);
    return s;
  }

  template <class T, int I>
  static void gather(auto& dev, auto source, auto step, Pass pass, View<T, Batch, I> x, Target* labels, int) {
    gather_batch(dev, source, step, pass, x, labels, true);
  }
  /// The same with images of (H, W, C), for networks that compute in this order.
  template <class T, int I>
  static void gather_channels_last(auto& dev, auto source, auto step, Pass pass, View<T, Batch, I> x, Target* labels) {
    gather_batch(dev, source, step, pass, x, labels, false);
  }

 private:
  template <class Values>
  static const std::uint8_t* bytes_in(const Values& values) {
    constexpr bool bytes = requires { static_cast<const std::uint8_t*>(values.data()); };
    static_assert(bytes,
                  "tenon::ImageData: expected pixels and labels of type std::uint8_t, in a std::vector for instance");
    if constexpr (bytes)
      return values.data();
    else
      return nullptr;
  }

  kernels::Images images_;
  const std::uint8_t* labels_;
  std::uint64_t size_;
  Options options_;
  detail::Residents residents_;  // copies of this share them
};

/// Your own samples: contiguous rows of values and of targets. T and Target are any numeric types. A batch has the types of
/// the model and the loss: values and floating-point targets are converted. Labels are converted from any integer type. A
/// label that does not fit throws Error.
template <class T, class Target>
class Samples {
  static_assert(std::is_arithmetic_v<T> && std::is_arithmetic_v<Target>,
                "tenon::Samples: expected numbers, the rows of all samples one after another");

 public:
  template <class V, class U>
  using Source = kernels::RowSource<V, U>;

  Samples(std::vector<T> x, std::vector<Target> y, std::size_t count)
      : held_(std::make_shared<Held>(std::move(x), std::move(y))), count_(count) {
    if (count == 0 || held_->x.size() % count || held_->y.size() % count)
      throw Error("Samples", "expected rows of equal length for " + std::to_string(count) + " samples, got " +
                                 std::to_string(held_->x.size()) + " values and " + std::to_string(held_->y.size()) +
                                 " targets");
  }

  std::uint64_t size() const { return count_; }
  std::size_t targets_per_sample() const { return held_->y.size() / count_; }
  const void* identity() const { return held_.get(); }

  /// Throws Error unless a sample has as many values as an input of these extents.
  void require_input(const Dims& input) const {
    if (held_->x.size() != count_ * static_cast<std::size_t>(input.count()))
      throw Error("Samples", "expected " + std::to_string(input.count()) + " values a sample, got " +
                                 std::to_string(held_->x.size() / count_));
  }

  template <class V, class U>
  Source<V, U> source(auto& dev) const {
    static_assert(std::is_integral_v<Target> || !std::is_integral_v<U>,
                  "tenon::Samples: expected labels of an integer type, as the loss takes, got floating-point numbers");
    const std::vector<V>& x = held_->template as<V>(held_->x, [](T v, std::size_t) { return static_cast<V>(v); });
    const std::vector<U>& y = held_->template as<U>(held_->y, [&](Target v, [[maybe_unused]] std::size_t i) {
      if constexpr (std::is_integral_v<U> && std::is_integral_v<Target>)
        if (!std::in_range<U>(+v))
          throw Error("Samples", "expected labels that fit " + std::to_string(8 * sizeof(U)) + " bits, got " +
                                     std::to_string(v) + " for sample " + std::to_string(i / targets_per_sample()));
      return static_cast<U>(v);
    });
    Source<V, U> s{};
    s.x = residents_.of(dev, x.data(), x.size());
    s.targets = residents_.of(dev, y.data(), y.size());
    s.size = count_;
    s.values = static_cast<int>(x.size() / count_);
    s.targets_per_sample = static_cast<int>(targets_per_sample());
    return s;
  }

  template <class V, int I, class U>
  static void gather(auto& dev, auto source, auto step, Pass pass, View<V, Batch, I> x, U* targets,
                     int targets_per_sample) {
    gather_rows(dev, source, step, pass, x, targets, targets_per_sample);
  }

 private:
  // The rows and their conversions. Any thread may use it.
  struct Held {
    Held(std::vector<T> values, std::vector<Target> targets) : x(std::move(values)), y(std::move(targets)) {}

    const std::vector<T> x;
    const std::vector<Target> y;

    template <class To, class From, class F>
    const std::vector<To>& as(const std::vector<From>& from, F convert) {
      if constexpr (std::is_same_v<To, From>) {
        return from;
      } else {
        static const char kind = 0;  // one for each pair of types
        const std::lock_guard lock(mutex_);
        for (const auto& [tag, of, values] : converted_)
          if (tag == &kind && of == &from) return *static_cast<const std::vector<To>*>(values.get());
        auto to = std::make_shared<std::vector<To>>(from.size());
        for (std::size_t i = 0; i < from.size(); ++i) (*to)[i] = convert(from[i], i);
        converted_.push_back({&kind, &from, to});
        return *to;
      }
    }

   private:
    struct Converted {
      const void *tag, *of;
      std::shared_ptr<void> values;
    };
    std::mutex mutex_;
    std::vector<Converted> converted_;
  };

  std::shared_ptr<Held> held_;
  std::size_t count_;
  detail::Residents residents_;
};

}  // namespace tenon

TENON_IEEE_MATH_END
