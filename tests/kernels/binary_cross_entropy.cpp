// tests/kernels/binary_cross_entropy.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/binary_cross_entropy.hpp"

using Device = tenon::Cpu;
#include "kernels/binary_cross_entropy.hpp"
