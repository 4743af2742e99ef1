// Two devices. Each has its own streams, memory and kernel limits. Each thread has its own current device.
// SPDX-License-Identifier: MIT
#include <thread>

#include "simt/support.hpp"

namespace {

template <class T>
__global__ void put(T* x, T value) {
  *x = value;
}

struct TwoDevices : Restored {
  TwoDevices() { simt::options().devices = 2, simt::options().quiet = true; }
  ~TwoDevices() { cudaSetDevice(0); }
};

cudaError_t put_in(cudaStream_t stream, int* x) {
  cudaLaunchConfig_t config{};
  config.gridDim = 1, config.blockDim = 1, config.stream = stream;
  return cudaLaunchKernelEx(&config, put<int>, x, 7);
}

}  // namespace

TEST_CASE("a thread has a device of its own, the first one to begin with") {
  const TwoDevices two;
  int here = -1, there = -1;
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  std::thread([&] { cudaGetDevice(&there); }).join();
  REQUIRE(cudaGetDevice(&here) == cudaSuccess);
  CHECK(here == 1);
  CHECK(there == 0);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
}

TEST_CASE("a kernel is launched in a stream of the current device, and touches the memory of no other") {
  for (const auto streams : {simt::Streams::immediate, simt::Streams::late}) {
    const TwoDevices two;
    simt::options().streams = streams;
    Device<int> zero(std::vector<int>{0});
    cudaStream_t stream;
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    Device<int> one(std::vector<int>{0});
    cudaPointerAttributes a;
    REQUIRE(cudaPointerGetAttributes(&a, one.data) == cudaSuccess);
    CHECK(a.device == 1);
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    CHECK(put_in(stream, one.data) == cudaSuccess);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    CHECK(put_in(stream, one.data) == cudaErrorInvalidResourceHandle);
    CHECK_THAT(simt::last_report(),
               ContainsSubstring("expected a stream of the current device, 0, got one of device 1"));
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);  // allowed from any device, as are copies
    CHECK(one.read()[0] == 7);
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    CHECK(put_in(stream, zero.data) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
    CHECK_THAT(simt::last_report(), ContainsSubstring("byte 0 of a device allocation of 4 bytes of device 0"));
    simt::reset();
    CHECK(zero.read()[0] == 0);
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  }
}

TEST_CASE("more shared memory is a device's, too") {
  const TwoDevices two;
  REQUIRE(cudaFuncSetAttribute(put<int>, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10) == cudaSuccess);
  cudaFuncAttributes a;
  REQUIRE(cudaFuncGetAttributes(&a, put<int>) == cudaSuccess);
  CHECK(a.maxDynamicSharedSizeBytes == 100 << 10);
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  REQUIRE(cudaFuncGetAttributes(&a, put<int>) == cudaSuccess);
  CHECK(a.maxDynamicSharedSizeBytes == 48 << 10);
}

TEST_CASE("what a capture forbids, and to whom") {
  const Restored restored;
  simt::options().quiet = true;
  cudaStream_t stream;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  const auto during = [&](cudaStreamCaptureMode mode, auto call) {
    cudaError_t e = cudaSuccess;
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamBeginCapture(stream, mode) == cudaSuccess);
    std::thread([&] { e = call(); }).join();
    const bool whole = cudaStreamEndCapture(stream, &graph) == cudaSuccess;
    CHECK(whole == (e == cudaSuccess));
    if (graph) cudaGraphDestroy(graph);
    return e;
  };
  const auto allocate = [] {
    void* p = nullptr;
    const cudaError_t e = cudaMalloc(&p, 4);
    return e ? e : cudaFree(p);
  };
  CHECK(during(cudaStreamCaptureModeThreadLocal, allocate) == cudaSuccess);
  CHECK(during(cudaStreamCaptureModeGlobal, allocate) == cudaErrorStreamCaptureUnsupported);
  CHECK(during(cudaStreamCaptureModeThreadLocal, cudaDeviceSynchronize) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}
