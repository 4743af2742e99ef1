// tests/kernels/sgd.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/sgd.hpp"

using Device = tenon::Cpu;
#include "kernels/sgd.hpp"
