// tests/kernels/linear.hpp on Cuda; in tf32 and bf16 where numbers are whole and small enough to be exact there, too.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/linear.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/linear.hpp"

namespace {

template <class T>
constexpr Room room(int, int) {
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
