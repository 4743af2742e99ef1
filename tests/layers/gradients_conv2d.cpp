// tests/layers/gradients_conv2d.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include <tenon/core/device.hpp>

using Device = tenon::Cpu;
#include "layers/gradients_conv2d.hpp"
