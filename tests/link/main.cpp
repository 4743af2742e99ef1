// Both units are asked, and must agree: to the bit where their flags are the same, else closely, because a compiler that
// is told of FMA instructions may round once where another rounds twice. `main same` or `main close`.
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
