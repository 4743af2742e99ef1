// Includes Catch2, version 2.13 (Debian 12, Ubuntu 22.04) or 3 (Debian 13, Ubuntu 24.04). Write tests as for Catch2 3,
// write matcher names without `Catch::Matchers::`, and use only features that 2.13 also has.
// SPDX-License-Identifier: MIT
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define TENON_TESTS_CATCH 3
using Catch::Approx;  // in 2.13 it is global already
#else
#include <catch2/catch.hpp>
#define TENON_TESTS_CATCH 2
#endif

using Catch::Matchers::EndsWith;
using Catch::Matchers::Equals;
using Catch::Matchers::StartsWith;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

// Reports why a test cannot run here; return from the test after it. If a test was skipped and none failed, the whole
// run is reported as skipped (main.cpp exits with 77), never as passed.
inline int& skipped_tests() {
  static int count = 0;
  return count;
}
inline void skip_test(const std::string& reason) {
  WARN("skipped: " << reason);
  ++skipped_tests();
}

// The path of a file in tests/, for example "golden/reference.safetensors".
std::string test_file(const std::string& name);

// Matches a string that contains `part`. Named ContainsSubstring in Catch2 3, Contains in 2.
#if TENON_TESTS_CATCH == 3
using Catch::Matchers::ContainsSubstring;
#else
inline auto ContainsSubstring(const std::string& part) { return Catch::Matchers::Contains(part); }
#endif
