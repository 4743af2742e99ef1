// tests/kernels/layer_norm.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/layer_norm.hpp"

using Device = tenon::Cpu;

// Number of values in the workspace of backward.
static std::size_t workspace(int n) { return tenon::kernels::layer_norm_workspace(n); }

#include "kernels/layer_norm.hpp"
