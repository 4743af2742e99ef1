// tests/kernels/permute.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/permute.hpp"

using Device = tenon::Cpu;
#include "kernels/permute.hpp"
