// tests/kernels/adam.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/adam.hpp"

using Device = tenon::Cpu;
#include "kernels/adam.hpp"
