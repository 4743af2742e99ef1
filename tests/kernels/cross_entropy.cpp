// tests/kernels/cross_entropy.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/cross_entropy.hpp"

using Device = tenon::Cpu;

// Whether so many classes may have weights.
template <class T, int C>
static constexpr bool takes_weights() {
  return true;
}

#include "kernels/cross_entropy.hpp"
