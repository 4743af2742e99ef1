// Launches that CUDA rejects.
// SPDX-License-Identifier: MIT
#include "simt/support.hpp"

namespace {
template <int Bytes>
struct Argument {
  char bytes[Bytes];
};
template <class T>
__global__ void nothing(T) {}
}  // namespace

TEST_CASE("launches beyond the device's limits are refused, and do not stick") {
  const Restored restored;
  simt::options().quiet = true;
  CHECK(run(nothing<int>, 1, 1025, 0, 1) == cudaErrorInvalidConfiguration);
  CHECK_THAT(simt::last_report(), ContainsSubstring("expected 1 to 1024 threads a block"));
  CHECK(run(nothing<int>, 1, dim3(1, 1, 65), 0, 1) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing<int>, 1, 0, 0, 1) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing<int>, 0, 1, 0, 1) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing<int>, dim3(1, 65536), 1, 0, 1) == cudaErrorInvalidConfiguration);
  CHECK_THAT(simt::last_report(), ContainsSubstring("y and z up to 65535, got (1, 65536, 1)"));
  CHECK(run(nothing<int>, dim3(1, 1, 65536), 1, 0, 1) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing<Argument<32765>>, 1, 1, 0, Argument<32765>{}) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(run(nothing<int>, dim3(70000, 2), 1, 0, 1) == cudaSuccess);
}

TEST_CASE("more than 48 KiB of shared memory must be asked for") {
  const Restored restored;
  simt::options().quiet = true;
  CHECK(run(nothing<long>, 1, 1, 48 << 10, 1L) == cudaSuccess);
  CHECK(run(nothing<long>, 1, 1, (48 << 10) + 4, 1L) == cudaErrorInvalidValue);
  CHECK_THAT(simt::last_report(), ContainsSubstring("expected at most 49152 bytes of dynamic shared memory"));
  CHECK(cudaFuncSetAttribute(nothing<long>, cudaFuncAttributeMaxDynamicSharedMemorySize, (227 << 10) + 1) ==
        cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(nothing<long>, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10) == cudaSuccess);
  CHECK(run(nothing<long>, 1, 1, 100 << 10, 1L) == cudaSuccess);
  CHECK(run(nothing<long>, 1, 1, (100 << 10) + 1, 1L) == cudaErrorInvalidValue);
  CHECK(run(nothing<short>, 1, 1, 100 << 10, short(1)) == cudaErrorInvalidValue);  // another kernel
}

TEST_CASE("occupancy counts threads, shared memory and blocks") {
  int blocks = 0;
  const auto of = [&](int threads, std::size_t shared) {
    REQUIRE(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing<int>, threads, shared) == cudaSuccess);
    return blocks;
  };
  CHECK(of(1024, 0) == 2);
  CHECK(of(256, 100 << 10) == 2);
  CHECK(of(32, 0) == 32);
}

TEST_CASE("without a device every call says so") {
  const Restored restored;
  simt::options().quiet = true;
  simt::options().devices = 0;
  int n = 1;
  void* p = nullptr;
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceCount(&n) == cudaErrorNoDevice);
  CHECK(n == 0);
  CHECK(cudaMalloc(&p, 4) == cudaErrorNoDevice);
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaErrorNoDevice);
  CHECK(run(nothing<int>, 1, 1, 0, 1) == cudaErrorNoDevice);
}

TEST_CASE("memory of the device ends") {
  const Restored restored;
  simt::options().quiet = true;
  simt::options().device_bytes = 1 << 20;
  void* p = nullptr;
  CHECK(cudaMalloc(&p, (1 << 20) + 1) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 1 << 19) == cudaSuccess);
  CHECK(cudaFree(p) == cudaSuccess);
}
