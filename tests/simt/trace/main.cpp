// main of tests_cuda_traced: the kernels' tests under the tracer. Each finding of the tracer is a failure.
//
// Environment:
//   TENON_TRACE_REPORT=1           also counts, and prints a table of the kernels at the end
//   TENON_TRACE_EXCEPTIONS=FILE    also counts, and fails if a kernel violates the gates (exceptions.txt)
// SPDX-License-Identifier: MIT
#define CATCH_CONFIG_RUNNER
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "simt/simt.hpp"
#include "simt/trace/gates.hpp"
#include "simt/trace/trace.hpp"

int main(int argc, char** argv) {
  Catch::Session session;
  auto& config = session.configData();
  config.filenamesAsTags = true;
#if TENON_TESTS_CATCH == 2
  config.warnings = static_cast<Catch::WarnAbout::What>(Catch::WarnAbout::NoTests);
#endif
  if (const int error = session.applyCommandLine(argc, argv)) return error;
  const bool report = std::getenv("TENON_TRACE_REPORT") != nullptr;
  const char* const exceptions = std::getenv("TENON_TRACE_EXCEPTIONS");
  std::vector<simt::trace::Allowed> allowed;
  try {
    if (exceptions) allowed = simt::trace::read_exceptions(exceptions);
  } catch (const std::runtime_error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
  simt::options().one_order = true;  // findings do not depend on the order
  simt::trace::set_counting(report || exceptions);
  const int failures = session.run();
  const auto findings = simt::trace::findings();
  for (const auto& f : findings)
    std::fprintf(stderr, "trace: %s (%llu times)\n", f.text.c_str(), static_cast<unsigned long long>(f.times));
  if (report) simt::trace::print(stdout);
  std::size_t broken = 0;
  if (exceptions)
    for (const std::string& text : simt::trace::broken_gates(allowed)) {
      std::fprintf(stderr, "trace: %s\n", text.c_str());
      ++broken;
    }
  if (failures == 0 && (!findings.empty() || broken > 0)) return 1;
  return failures == 0 && skipped_tests() > 0 ? 77 : failures;
}
