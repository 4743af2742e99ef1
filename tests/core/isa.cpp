// Isa: the values that TENON_ISA accepts and refuses.
// SPDX-License-Identifier: MIT
#include "tenon/core/isa.hpp"

#include <cstdlib>

#include "catch.hpp"

using namespace tenon;

namespace {

/// Sets TENON_ISA for a scope.
class Environment {
 public:
  explicit Environment(const char* value) {
    if (const char* old = std::getenv("TENON_ISA")) old_ = old, had_ = true;
    setenv("TENON_ISA", value, 1);
  }
  ~Environment() {
    if (had_)
      setenv("TENON_ISA", old_.c_str(), 1);
    else
      unsetenv("TENON_ISA");
  }

 private:
  std::string old_;
  bool had_ = false;
};

}  // namespace

TEST_CASE("TENON_ISA forces the portable path") {
  const Environment e("portable");
  CHECK(choose_isa() == Isa::portable);
}

TEST_CASE("an empty TENON_ISA means the best") {
  const Environment e("");
  CHECK(choose_isa() == detect_isa());
}

TEST_CASE("TENON_ISA=avx2 runs where it can, and is an error where it cannot") {
  const Environment e("avx2");
  if (detect_isa() == Isa::avx2)
    CHECK(choose_isa() == Isa::avx2);
  else
    CHECK_THROWS_WITH(choose_isa(), StartsWith("[choose_isa] expected a processor with AVX2 and FMA"));
}

TEST_CASE("an unknown TENON_ISA is an error that names it") {
  const Environment e("sse9");
  CHECK_THROWS_WITH(choose_isa(), "[choose_isa] expected TENON_ISA=portable or avx2, got sse9");
}

TEST_CASE("instruction sets have names") {
  CHECK(std::string(name(Isa::avx2)) == "avx2");
  CHECK(std::string(name(Isa::portable)) == "portable");
}
