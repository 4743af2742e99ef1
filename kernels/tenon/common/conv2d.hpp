// Default sizes of the memory that the kernels of Conv2d need. A device may define others.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/device.hpp"
#include "tenon/core/geometry.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Number of weights, (o, c / groups, kh, kw).
constexpr long long conv2d_weights(const ConvDims& d) {
  return static_cast<long long>(d.o) * (d.c / d.groups) * d.window.kh * d.window.kw;
}

/// Overloaded by devices that need more. By default conv2d_prepare packs the weights without padding.
template <class D>
constexpr WorkspaceSizes conv2d_workspace_sizes(DeviceTag<D>, const ConvDims& d, const Epilogue&) {
  return {.packed = conv2d_weights(d)};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
