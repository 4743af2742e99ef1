// tests/layers/user_layer.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include <tenon/core/device.hpp>

using Device = tenon::Cpu;
#include "layers/user_layer.hpp"
