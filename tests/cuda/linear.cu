// tests/kernels/linear.hpp on Cuda; in tf32 and bf16 with integers that are small enough to be exact.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/linear.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/linear.hpp"

namespace {

template <class T>
constexpr WorkspaceSizes workspace_sizes(int, int) {
  return {};
}

}  // namespace

TEST_CASE("cuda: linear on tensor cores gives the same bits in every order") {
  const CudaMath before = cuda().math;
  for (const CudaMath math : {CudaMath::tf32, CudaMath::bf16}) {
    cuda().math = math;
    agrees(op<float, 520, 10, none>(), Kind::whole, 5, true, true);
  }
  cuda().math = before;
}
