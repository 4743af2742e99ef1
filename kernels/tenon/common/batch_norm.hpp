// Default sizes of the memory that the kernels of BatchNorm need. A device may define others.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/device.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Overloaded by devices whose kernels need a workspace.
template <class D>
constexpr WorkspaceSizes batch_norm_workspace_sizes(DeviceTag<D>, int /*channels*/) {
  return {};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
