// tests/kernels/global_avg_pool.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/global_avg_pool.hpp"

using Device = tenon::Cpu;
#include "kernels/global_avg_pool.hpp"
