// The limits (gates) of kernels' memory requests, and the exceptions.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace simt::trace {

struct Allowed {
  std::string kernel;  // as launched or as written
  std::string what;    // sectors, wavefronts
  double limit = 0;    // multiple of the ideal
  std::string reason;
};

/// Reads one exception per line: KERNEL sectors|wavefronts LIMIT REASON.
std::vector<Allowed> read_exceptions(const std::string& path);

/// A message for each violation that no exception allows: more than 1.05 times the sectors that the bytes of the
/// requests need at their addresses, or any bank conflict.
std::vector<std::string> broken_gates(const std::vector<Allowed>& exceptions);

}  // namespace simt::trace
