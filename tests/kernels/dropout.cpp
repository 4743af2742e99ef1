// tests/kernels/dropout.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/dropout.hpp"

using Device = tenon::Cpu;
#include "kernels/dropout.hpp"
