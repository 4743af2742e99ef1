// tests/kernels/elementwise.hpp on Cuda; and sizes of real networks.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/elementwise.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/elementwise.hpp"

// The gates of tests/simt/trace use this test: sizes of real networks, aligned like the tensors of a model.
TEST_CASE("cuda: sums of two at the sizes of a network", "[shapes]") {
  constexpr int rows = 32, cols = 784;
  const auto a = numbers<float>(rows * cols, 7), b = numbers<float>(rows * cols, 8);
  OnDevice<float> da(a), db(b), dy(a.size());
  add_forward(cuda(), In<float, Batch, cols>(da.data(), rows), In<float, Batch, cols>(db.data(), rows),
              Out<float, Batch, cols>(dy.data(), rows));
  accumulate(cuda(), In<float, Batch, cols>(da.data(), rows), Into<float, Batch, cols>(dy.data(), rows, true));
  std::vector<float> want(a);
  for (std::size_t i = 0; i < want.size(); ++i) want[i] = a[i] + b[i] + a[i];
  CHECK(dy.read() == want);
}
