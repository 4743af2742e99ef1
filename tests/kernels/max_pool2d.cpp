// tests/kernels/max_pool2d.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/max_pool2d.hpp"

using Device = tenon::Cpu;
#include "kernels/max_pool2d.hpp"
