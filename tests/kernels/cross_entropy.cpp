// tests/kernels/cross_entropy.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/cross_entropy.hpp"

using Device = tenon::Cpu;

// Whether class weights are supported for this number of classes.
static constexpr bool takes_weights(int) { return true; }

#include "kernels/cross_entropy.hpp"
