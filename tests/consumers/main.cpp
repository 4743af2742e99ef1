// What a program that uses tenon looks like from outside: one include, no flag, no macro.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

#include <string>

int main() {
  const tenon::Error error("consumer", "expected a header-only library");
  return std::string(error.what()) == "[consumer] expected a header-only library" ? 0 : 1;
}
