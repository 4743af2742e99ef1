// Errors name the call, kernel and line; a kernel is loaded before it is recorded; host memory may be changed directly
// after an upload.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/recorder.cuh"

#include "cuda/support.hpp"
#include "files.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T>
__global__ void put_at(T* x, std::size_t i, T value) {
  x[i] = value;
}

std::string line(int number) { return " (launch.cu:" + std::to_string(number) + ")"; }

#if TENON_SIMT
__global__ void trap() { __trap(); }

struct Quiet : RestoredOptions {
  Quiet() { simt::options().quiet = true; }
};
#endif

}  // namespace

TEST_CASE("cuda: a launch that is refused names the call, the kernel and the line") {
#if TENON_SIMT
  const Quiet quiet;
#endif
  OnDevice<int> x(std::vector<int>{1, 2});
  int at = 0;
  const auto launch = [&](unsigned threads) {
    at = __LINE__ + 1;
    kernels::cuda::launch(cuda(), "put_at", put_at<int>, {1}, {threads}, 0, x.data(), 1, 7);
  };
  const std::string said = error_of([&] { launch(2048); });
  CHECK(said ==
        "[cuda] expected cudaLaunchKernelEx to succeed, got \"invalid configuration argument\" after kernel put_at" +
            line(at));
  launch(1);
  CHECK(x.read() == std::vector<int>{1, 7});
}

TEST_CASE("cuda: before it is recorded a kernel is loaded, and more threads than it can have are refused") {
  OnDevice<int> x(std::vector<int>{1, 2});
  int at = 0;
  const auto f = [&](unsigned threads) {
    return [&x, &at, threads] {
      at = __LINE__ + 1;
      kernels::cuda::launch(cuda(), "put_at", put_at<int>, {1}, {threads}, 0, x.data(), 0, 7);
    };
  };
  const std::string said = error_of([&] { measure_scratch(cuda(), f(2048)); });
  CHECK(said == "[cuda] expected at most 1024 threads of kernel put_at in a block, got 2048" + line(at));
  measure_scratch(cuda(), f(1));
  CHECK(x.read() == std::vector<int>{1, 2});
  const auto graph = capture(cuda(), f(1));
  CHECK(x.read() == std::vector<int>{1, 2});
  replay(cuda(), graph);
  CHECK(x.read() == std::vector<int>{7, 2});
}

#if TENON_SIMT
TEST_CASE("cuda: an error of a kernel is said when the host waits, with the last one's name") {
  const Quiet quiet;
  const Cuda dev;
  kernels::cuda::launch(dev, "trap", trap, {1}, {1}, 0);
  CHECK_THROWS_WITH(wait(dev), StartsWith("[cuda] expected cudaStreamSynchronize to succeed, got \"an illegal "
                                          "instruction was encountered\" after kernel trap (device.cuh:"));
}

TEST_CASE("cuda: what is uploaded may be changed at once, also where a GPU reads the host's memory by itself") {
  for (const bool reads : {false, true}) {
    const Quiet quiet;
    simt::options().streams = simt::Streams::late;
    simt::options().reads_pageable = reads;
    const Cuda dev;
    kernels::CudaBuffer<int> x(2);
    std::vector<int> from = {1, 2}, to(2);
    upload(dev, from.data(), x.data(), 2);
    from = {3, 4};
    download(dev, x.data(), to.data(), 2);
    CHECK(to == std::vector<int>{1, 2});
  }
}
#endif
