// Catch2 for every test, whether the system has 2.13 (Debian 12, Ubuntu 22.04) or 3 (Debian 13, Ubuntu 24.04).
// Write tests as for Catch2 3 and spell the names without `Catch::Matchers::`; what 2.13 lacks is not used.
// SPDX-License-Identifier: MIT
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define TENON_TESTS_CATCH 3
using Catch::Approx;  // 2.13 has it outside already
#else
#include <catch2/catch.hpp>
#define TENON_TESTS_CATCH 2
#endif

using Catch::Matchers::EndsWith;
using Catch::Matchers::Equals;
using Catch::Matchers::StartsWith;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

// Says why a test cannot run here, and is followed by return. A selection in which that happened and nothing failed is
// reported as skipped (main.cpp exits 77), never as passed.
inline int& skipped_tests() {
  static int count = 0;
  return count;
}
inline void skip_test(const std::string& reason) {
  WARN("skipped: " << reason);
  ++skipped_tests();
}

// A string that holds another: ContainsSubstring in 3, Contains in 2.
#if TENON_TESTS_CATCH == 3
using Catch::Matchers::ContainsSubstring;
#else
inline auto ContainsSubstring(const std::string& part) { return Catch::Matchers::Contains(part); }
#endif
