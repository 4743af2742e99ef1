// Error: one sentence, always in the same form.
// SPDX-License-Identifier: MIT
#include "tenon/core/error.hpp"

#include "catch.hpp"

TEST_CASE("Error names operation, message and place") {
  CHECK(std::string(tenon::Error("load_idx", "expected 2 labels, got 1", "labels.idx").what()) ==
        "[load_idx] expected 2 labels, got 1 (labels.idx)");
}

TEST_CASE("Error without a place has no empty parentheses") {
  CHECK(std::string(tenon::Error("device", "expected cpu, got tpu").what()) == "[device] expected cpu, got tpu");
}

TEST_CASE("Error is a std::runtime_error") { CHECK_THROWS_AS(throw tenon::Error("a", "b"), std::runtime_error); }
