// GradientTree: adds the gradients of micro-batches in a fixed binary tree, like the carries of a binary counter:
// micro-batches 0 and 1 are added, then 2 and 3, then both sums, and so on. The order of additions depends only on the
// number of micro-batches. A block of 2^k micro-batches that begins at a multiple of 2^k has the same sum for any process
// that computes it.
// Memory: one buffer of the parameters' size for each level, allocated beforehand.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "tenon/train/model.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::detail {

template <class Model>
class GradientTree {
 public:
  using T = typename Model::T;

  /// Allows up to `max` micro-batches between two updates. 1 needs no memory.
  GradientTree(Model& model, int max) : max_(static_cast<std::uint32_t>(max)) {
    if (max <= 1) return;
    const int levels = std::bit_width(static_cast<std::uint32_t>(max) - 1);
    for (int i = 0; i < levels; ++i) levels_.push_back(allocate<T>(model.device(), model.parameters().size));
  }

  /// What is known of the micro-batches since the last update. A recording restores it, because it runs nothing.
  struct Counts {
    std::uint32_t count;
    double weight;
    std::uint64_t samples;
  };
  Counts counts() const { return {count_, weight_, samples_}; }
  void set_counts(const Counts& c) { count_ = c.count, weight_ = c.weight, samples_ = c.samples; }

  std::uint32_t count() const { return count_; }
  /// Samples of the micro-batches since the last update.
  std::uint64_t samples() const { return samples_; }
  void clear() {
    count_ = 0;
    weight_ = 0;
    samples_ = 0;
  }

  /// Throws Error if there is no room for another micro-batch.
  void require_room() const {
    if (count_ >= max_)
      throw Error("Trainer", "expected at most " + std::to_string(max_) +
                                 " micro-batches in an update, got one more: give TrainerOptions::micro_batches the "
                                 "largest number");
  }

  /// Adds model.gradients() as the gradient of the next micro-batch, which has `batch` samples and the weight `weight`.
  void add(Model& model, int batch, double weight) {
    weight_ += weight;
    samples_ += static_cast<std::uint64_t>(batch);
    add(model);
  }
  /// The same without samples and weight, which the device counts.
  void add(Model& model) {
    auto& dev = model.device();
    const Span<T> g = model.gradients();
    std::uint32_t level = 0;
    for (; count_ >> level & 1; ++level) add_to(dev, levels_[level], g);
    if (level < levels_.size()) copy(dev, static_cast<const T*>(g.data), levels_[level].data(), g.size);
    ++count_;
  }

  /// Writes the sum over all micro-batches, if there are any, to model.gradients(). Returns by what it must be divided: the
  /// total weight, or 1 if that is 0.
  double finish(Model& model) {
    auto& dev = model.device();
    const Span<T> g = model.gradients();
    bool first = true;
    for (std::uint32_t level = 0; level < levels_.size(); ++level) {
      if (!(count_ >> level & 1)) continue;
      if (first)
        copy(dev, static_cast<const T*>(levels_[level].data()), g.data, g.size);
      else
        add_to(dev, levels_[level], g);
      first = false;
    }  // if count is 2^levels, the last add() left the sum in gradients()
    const double weight = weight_ > 0 ? weight_ : 1;
    clear();
    return weight;
  }

 private:
  // g += level
  static void add_to(auto& dev, const auto& level, Span<T> g) {
    accumulate(dev, View<const T, Batch, 1>(level.data(), static_cast<int>(g.size)),
               Into<T, Batch, 1>(g.data, static_cast<int>(g.size), true));
  }

  std::uint32_t max_, count_ = 0;
  double weight_ = 0;
  std::uint64_t samples_ = 0;
  std::vector<typename Model::template Memory<T>> levels_;
};

}  // namespace tenon::detail

TENON_IEEE_MATH_END
