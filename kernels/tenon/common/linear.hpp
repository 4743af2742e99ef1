// Default sizes of the memory that the kernels of Linear need. A device may define others.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/device.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Overloaded by devices whose kernels pack the weights or need a workspace. `in` and `out` are the features.
template <class D>
constexpr WorkspaceSizes linear_workspace_sizes(DeviceTag<D>, int /*in*/, int /*out*/) {
  return {};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
