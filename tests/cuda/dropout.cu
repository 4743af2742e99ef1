// tests/kernels/dropout.hpp on Cuda; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/dropout.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;
#include "kernels/dropout.hpp"

TEST_CASE("cuda: dropout of a recorded step takes step and position from the cursor") {
  constexpr int n = 50;
  const std::vector<float> ones(8 * n, 1);
  random::Key later = key;
  later.step = 1234;
  const auto now = dropped(key, 96, n, ones, 1, 2), then = dropped(later, 6000000000ull, n, ones, 1, 2);
  OnDevice<float> x(ones), y(ones.size()), dx(ones.size());
  {
    const Recorded step({6000000000ull, 1234, 0, 0, 1, 0, 0});
    drop<n>(cuda(), key, 96, x, 1, 2, y);
    drop_back<n>(cuda(), key, 96, x, 1, 2, dx);
  }
  CHECK(y.read() == then);
  CHECK(dx.read() == then);
  drop<n>(cuda(), key, 96, x, 1, 2, y);
  CHECK(y.read() == now);
}
