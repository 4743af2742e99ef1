// Calls both units, whose results must agree: bit for bit if their flags are the same (`main same`), otherwise closely
// (`main close`), because a compiler that may use FMA instructions can round once where another rounds twice.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

std::vector<float> unit_one();
std::vector<float> unit_two();

int main(int, char** argv) {
  const std::vector<float> one = unit_one(), two = unit_two();
  const float bound = std::strcmp(argv[1], "same") == 0 ? 0.0f : 1e-4f;
  if (one.empty() || one.size() != two.size()) return 1;
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (!(std::abs(one[i] - two[i]) <= bound)) {
      std::printf("output %zu: expected at most %g apart, got %.9g and %.9g\n", i, bound, one[i], two[i]);
      return 1;
    }
  }
}
