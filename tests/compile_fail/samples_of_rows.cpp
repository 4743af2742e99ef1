// Rows as separate vectors, where one vector of all numbers is expected.
// expect: tenon::Samples: expected numbers, the rows of all samples one after another
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>
#include <vector>

using namespace tenon;

#ifndef TENON_TWIN
using X = std::vector<double>;
#else
using X = double;
#endif

int main() {
  const Samples data(std::vector<X>(4), std::vector<int>(4), 4);
  return static_cast<int>(data.size());
}
