// tests/kernels/mean_squared_error.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/mean_squared_error.hpp"

using Device = tenon::Cpu;
#include "kernels/mean_squared_error.hpp"
