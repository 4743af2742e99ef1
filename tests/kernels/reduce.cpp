// tests/kernels/reduce.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/reduce.hpp"

using Device = tenon::Cpu;
#include "kernels/reduce.hpp"
