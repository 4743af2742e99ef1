// tests/kernels/batch_norm.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/batch_norm.hpp"

using Device = tenon::Cpu;

// What backward and training work in besides: so many values.
static std::size_t workspace(int channels) { return tenon::kernels::batch_norm_workspace(channels); }

#include "kernels/batch_norm.hpp"
