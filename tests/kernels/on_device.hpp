// Included by the kernel tests that are written once for all devices (devices.hpp). `Device` must be defined before
// this file is included.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "kernels/exact.hpp"
#include "kernels/ways.hpp"
#include "tenon/core/geometry.hpp"
#include "tenon/core/loss_sums.hpp"
#include "tenon/core/step_state.hpp"

using namespace tenon;
using namespace tenon::tests;
using kernels::Activation, kernels::ConvDims, kernels::ConvTag, kernels::Epilogue, kernels::EpilogueTag,
    kernels::PoolDims, kernels::PoolTag, kernels::Window;

/// An array in device memory.
template <class T>
using Memory = typename Ways<Device>::template Memory<T>;

/// One value in device memory: a StepState, a source of batches, the sums of a loss.
template <class T>
class One {
 public:
  explicit One(const Device& dev, const T& value = {}) : dev_(&dev), memory_(allocate<T>(dev, 1)) { write(value); }

  void write(const T& value) { upload(*dev_, &value, memory_.data(), 1); }
  T read() const {
    T value;
    download(*dev_, memory_.data(), &value, 1);
    return value;
  }
  T* data() { return memory_.data(); }
  /// The pointer type that kernels take.
  operator DevicePointerOf<Device, const T>() const { return DevicePointerOf<Device, const T>(memory_.data()); }

 private:
  const Device* dev_;
  typename Device::template Buffer<T> memory_;
};

/// Destination of a gradient, and whether it is accumulated.
template <class T>
struct Gradient {
  T* data = nullptr;
  bool accumulate = false;
};
