// The only test source that contains the path of the source tree, so that a compiler cache can serve the others in any
// clone.
// SPDX-License-Identifier: MIT
#include <string>

std::string test_file(const std::string& name) { return TENON_TESTS_DIR "/" + name; }
