// tests/kernels/linear.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/linear.hpp"

using Device = tenon::Cpu;
#include "kernels/linear.hpp"

namespace {

template <class T>
constexpr WorkspaceSizes workspace_sizes(int in, int out) {
  return {kernels::linear_packed(in, out), kernels::linear_workspace(in, out), kernels::linear_scratch<T>(in, out)};
}

}  // namespace
