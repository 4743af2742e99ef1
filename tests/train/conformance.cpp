// tests/train/conformance.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include <tenon/core/device.hpp>

using Device = tenon::Cpu;
#include "train/conformance.hpp"
