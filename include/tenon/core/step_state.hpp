// StepState: every number that changes from training step to training step and that a layer, a loss, an optimizer or a
// data source may read. It is in memory of the device, where kernels read it. A step that was recorded once (a CUDA graph)
// and is replayed therefore reads the numbers of the running step.
//
//   StepPointer<Device>    points to the state of the running step: const StepState* on the Cpu; on Cuda, a pointer that
//                          only kernels can dereference
//
// None of these numbers is passed to a kernel by value, because a value would become a constant of a recorded step.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/config.hpp"
#include "tenon/core/random.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// What changes from step to step.
struct StepState {
  double learning_rate = 0;        // of the next update: the optimizer's rate times the schedule's factor
  double gradient_scale = 1;       // multiplies each gradient in the update: clipping, division by the total weight
  std::uint64_t seed = 1;          // of all random numbers
  std::uint64_t first_sample = 0;  // position in the epoch of the batch's first sample
  std::uint32_t step = 0;          // number of earlier updates
  std::uint32_t epoch = 0;         // epochs finished
  std::uint32_t shard = 0;         // part of the batch that this process computes, if several processes train
  std::uint32_t stopped = 0;       // not 0: updates and running statistics leave their memory unchanged

  /// The key of random numbers that differ in each step. `layer` distinguishes layers with the same use.
  TENON_HD constexpr random::Key key(random::Use use, std::uint32_t layer) const { return {seed, use, layer, step}; }
  /// The key of random numbers that depend on the epoch: order and augmentation.
  TENON_HD constexpr random::Key epoch_key(random::Use use) const { return {seed, use, 0, epoch}; }
};

/// Which pass over a data set a batch belongs to.
enum class Pass {
  training,   // samples shuffled with the epoch's key and augmented
  evaluation  // samples in the order of the set, unchanged
};

namespace detail {

template <class Device>
struct PointerOf {
  template <class T>
  using type = T*;
};
template <class Device>
  requires requires { typename Device::template Pointer<int>; }
struct PointerOf<Device> {
  template <class T>
  using type = typename Device::template Pointer<T>;
};

}  // namespace detail

/// A pointer into memory of the device, in the type that kernels take.
template <class Device, class T>
using DevicePointerOf = typename detail::PointerOf<Device>::template type<T>;

template <class Device>
using StepPointer = DevicePointerOf<Device, const StepState>;

}  // namespace tenon

TENON_IEEE_MATH_END
