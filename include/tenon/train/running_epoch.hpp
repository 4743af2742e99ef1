// Checks of a training's data: whether a data set fits the network and the loss, and whether it is the one with which the
// running epoch was begun.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "tenon/core/error.hpp"

namespace tenon::detail {

/// Whether the targets of Data, if it says which, are of the type that the loss takes.
template <class Step, class Data>
constexpr bool targets_fit() {
  if constexpr (requires { typename Data::Target; })
    return std::is_same_v<typename Data::Target, typename Step::Target>;
  else
    return true;
}

/// Throws Error if `data` does not fit the network or the loss of Step, a TrainingStep. Other types of targets are a compile error.
template <class Step, class Data>
void require_data(const Data& data) {
  using Target = typename Step::Target;
  static_assert(targets_fit<Step, Data>(),
                "tenon::Trainer: the data set's targets are of another type than the loss takes: ImageData has class "
                "labels, for CrossEntropy; MeanSquaredError takes Samples<float, float>");
  if constexpr (requires { data.targets_per_sample(); })
    if (static_cast<int>(data.targets_per_sample()) != Step::targets_per_sample())
      throw Error("Trainer", "expected data of " + std::to_string(Step::targets_per_sample()) +
                                 " targets a sample, as the loss takes, got " +
                                 std::to_string(data.targets_per_sample()) +
                                 (std::is_same_v<Target, std::int32_t> ? ": a label is the number of its class" : ""));
  if constexpr (requires { data.require_input(Step::model_type::Network::input); })
    data.require_input(Step::model_type::Network::input);
  if (data.size() == 0) throw Error("Trainer", "expected a data set of at least one sample, got none");
}

/// Throws Error if `data` says that it has no targets.
template <class Data>
void require_targets(const Data& data) {
  if constexpr (requires { data.has_targets(); })
    if (!data.has_targets())
      throw Error("Trainer", "expected images with labels, got images alone: load them with load_image_set()");
}

/// The data set of the running epoch, if it is known. An epoch that was begun with one data set must not continue with
/// another one.
class RunningEpoch {
 public:
  /// `position`: samples of the epoch that are done. Throws Error if `data` is another data set.
  template <class Data>
  void begin_or_continue(const Data& data, std::uint64_t position) {
    const void* const identity = identity_of(data);
    if (position == 0 || !identity_) identity_ = identity, size_ = data.size();
    if (position > data.size() || identity != identity_ || data.size() != size_)
      throw Error("Trainer", "expected the data set with which the running epoch was begun, of which " +
                                 std::to_string(position) + " samples are done, got another one of " +
                                 std::to_string(data.size()) + " samples: finish that epoch, or call abandon_epoch()");
  }
  void forget() { identity_ = nullptr; }
  bool is_known() const { return identity_ != nullptr; }

 private:
  template <class Data>
  static const void* identity_of(const Data& data) {
    if constexpr (requires { data.identity(); })
      return data.identity();
    else
      return &data;
  }

  const void* identity_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace tenon::detail
