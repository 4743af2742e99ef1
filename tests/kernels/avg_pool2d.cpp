// tests/kernels/avg_pool2d.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/avg_pool2d.hpp"

using Device = tenon::Cpu;
#include "kernels/avg_pool2d.hpp"
