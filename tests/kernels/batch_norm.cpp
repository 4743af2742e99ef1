// tests/kernels/batch_norm.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/batch_norm.hpp"

using Device = tenon::Cpu;

// Number of values in the workspace of backward and training.
static std::size_t workspace(int channels) { return tenon::kernels::batch_norm_workspace(channels); }

#include "kernels/batch_norm.hpp"
