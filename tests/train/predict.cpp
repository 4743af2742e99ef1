// tests/train/predict.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include <tenon/core/device.hpp>

using Device = tenon::Cpu;
#include "train/predict.hpp"
