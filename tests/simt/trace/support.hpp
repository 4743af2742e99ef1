// Helpers of the tracer's tests: run a kernel alone and return its findings or counts.
// SPDX-License-Identifier: MIT
#pragma once

#include "simt/support.hpp"
#include "simt/trace/trace.hpp"

// The instructions that the kernels under test use.
#include "tenon/cuda/arch.cuh"

namespace simt::trace {

/// The findings while f() runs.
template <class F>
std::vector<Finding> found_in(F&& f) {
  const Restored restored;
  options().quiet = true;
  clear();
  f();
  static_cast<void>(cudaDeviceSynchronize());
  std::vector<Finding> all = findings();
  clear();
  return all;
}

/// The findings, one per line.
inline std::string text_of(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& f : findings) text += f.text + "\n";
  return text;
}

/// The counts of kernel `name` while f() runs.
template <class F>
Kernel counted(const char* name, F&& f) {
  const Restored restored;
  clear();
  name_next_launch(name);
  f();
  CHECK(text_of(findings()) == "");
  Kernel k = kernel(name);
  clear();
  return k;
}

}  // namespace simt::trace

using namespace simt::trace;
