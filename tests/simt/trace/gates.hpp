// What kernels may ask of memory, and where more is allowed.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace simt::trace {

struct Allowed {
  std::string kernel;  // as launched or as written
  std::string what;    // sectors, wavefronts
  double limit = 0;    // times the ideal
  std::string reason;
};

/// A line each: KERNEL sectors|wavefronts LIMIT REASON.
std::vector<Allowed> read_exceptions(const std::string& path);

/// What is worse than it may be, in words: more than 1.05 times the sectors that the bytes of a request need where they lie,
/// or any bank conflict, but for the exceptions.
std::vector<std::string> broken_gates(const std::vector<Allowed>& exceptions);

}  // namespace simt::trace
