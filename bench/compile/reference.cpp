// A source that includes nothing of tenon. The CPU seconds that it takes measure the speed of the machine.
// SPDX-License-Identifier: MIT
#include <regex>
#include <string>

bool matches(const std::string& text) { return std::regex_match(text, std::regex("a*b+[c-e]")); }
