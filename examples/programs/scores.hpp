// Scores: a classifier's results on labeled samples. Counts are exact; the loss is summed in double, in order.
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/core/error.hpp>
#include <tenon/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace program {

/// The decision for a row of logits, by softmax in double.
struct Decision {
  int prediction = 0;
  double confidence = 0;  // the probability of the prediction
  double log_sum_exp = 0;

  explicit Decision(std::span<const float> logits) {
    for (std::size_t c = 1; c < logits.size(); ++c)
      if (logits[c] > logits[static_cast<std::size_t>(prediction)]) prediction = static_cast<int>(c);
    const double top = logits[static_cast<std::size_t>(prediction)];
    double sum = 0;
    for (const float l : logits) sum += tenon::math::exp(l - top);  // at most 1 each: cannot overflow
    confidence = 1 / sum;
    log_sum_exp = top + tenon::math::log(sum);
  }
};

class Scores {
 public:
  explicit Scores(int classes) : classes_(classes), confusion_(static_cast<std::size_t>(classes) * classes) {}

  void add(int label, const Decision& d, std::span<const float> logits) {
    ++confusion_[static_cast<std::size_t>(label) * classes_ + static_cast<std::size_t>(d.prediction)];
    loss_sum_ += d.log_sum_exp - logits[static_cast<std::size_t>(label)];
    ++count_;
  }

  int classes() const { return static_cast<int>(classes_); }
  std::int64_t count() const { return count_; }
  std::int64_t right() const {
    std::int64_t n = 0;
    for (int c = 0; c < classes(); ++c) n += at(c, c);
    return n;
  }
  double loss() const { return loss_sum_ / static_cast<double>(count_); }
  double accuracy() const { return ratio(right(), count_); }

  /// The number of samples of class `label` with prediction `prediction`.
  std::int64_t at(int label, int prediction) const {
    return confusion_[static_cast<std::size_t>(label) * classes_ + static_cast<std::size_t>(prediction)];
  }
  std::int64_t labelled(int c) const {
    std::int64_t n = 0;
    for (int k = 0; k < classes(); ++k) n += at(c, k);
    return n;
  }
  std::int64_t predicted(int c) const {
    std::int64_t n = 0;
    for (int k = 0; k < classes(); ++k) n += at(k, c);
    return n;
  }

  // NaN if no sample was predicted or labeled as c.
  double precision(int c) const { return ratio(at(c, c), predicted(c)); }
  double recall(int c) const { return ratio(at(c, c), labelled(c)); }
  double f1(int c) const { return ratio(2 * at(c, c), predicted(c) + labelled(c)); }

 private:
  static double ratio(std::int64_t part, std::int64_t whole) {
    return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : static_cast<double>(part) / static_cast<double>(whole);
  }

  std::size_t classes_;
  std::vector<std::int64_t> confusion_;  // (label, prediction)
  double loss_sum_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace program
