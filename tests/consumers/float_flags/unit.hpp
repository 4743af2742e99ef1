// The results of a unit, the same for all flags.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Result {
  std::vector<double> losses;         // of each epoch, then of the evaluation
  std::vector<double> functions;      // exp, log, pow and others at fixed points
  std::vector<std::uint32_t> pooled;  // bits of the maxima of windows that contain one NaN
  std::vector<std::string> refused;   // the errors thrown for input that must be refused
};
