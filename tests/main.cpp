// main of every test program. Each file is a tag, for example [#gemm] for tests/kernels/gemm.cpp, so that ctest can run
// the files separately from one program per folder. A selection without any test is a failure.
// SPDX-License-Identifier: MIT
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

int main(int argc, char** argv) {
  Catch::Session session;
  auto& config = session.configData();
  config.filenamesAsTags = true;
#if TENON_TESTS_CATCH == 2
  config.warnings = static_cast<Catch::WarnAbout::What>(Catch::WarnAbout::NoTests);
#endif
  if (const int error = session.applyCommandLine(argc, argv)) return error;
  const int failures = session.run();
  return failures == 0 && skipped_tests() > 0 ? 77 : failures;
}
