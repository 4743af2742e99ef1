// A set of images whose labels are not bytes.
// expect: tenon::ImageData: expected pixels and labels of type std::uint8_t
// errors: 1
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <tenon/tenon.hpp>
#include <vector>

using namespace tenon;

#ifndef TENON_TWIN
using Label = int;
#else
using Label = std::uint8_t;
#endif

struct Set {
  int count = 1, channels = 1, height = 2, width = 2;
  std::vector<std::uint8_t> pixels = {1, 2, 3, 4};
  std::vector<Label> labels = {0};
};

int main() {
  const Set set;
  const ImageData data(set);
  return static_cast<int>(data.size());
}
