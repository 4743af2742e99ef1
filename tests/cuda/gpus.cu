// Which GPU a device is, and what is said where there is none that can be used.
// SPDX-License-Identifier: MIT
#include <cstdlib>

#include "cuda/support.hpp"

using namespace tenon;
using namespace tenon::tests;

TEST_CASE("cuda: a GPU that is not there is named with those that are") {
  int count = 0;
  REQUIRE(cudaGetDeviceCount(&count) == cudaSuccess);
  const std::string text = "expected the number of a GPU from 0 to " + std::to_string(count - 1) + ", got ";
  for (const int n : {-1, count}) {
    CHECK_THAT(cuda_problem(n), StartsWith(text + std::to_string(n) + ": "));
    CHECK_THROWS_WITH(Cuda(n), StartsWith("[cuda] " + text + std::to_string(n) + ": "));
  }
  CHECK(cuda_problem() == "");
}

#if TENON_SIMT
TEST_CASE("cuda: what keeps a program from a GPU is one line with what to do") {
  struct Restore {
    const simt::Options before = simt::options();
    ~Restore() {
      simt::options() = before;
      simt::reset();
      ::unsetenv("container");
    }
  } restore;
  simt::options().quiet = true;
  const auto says = [&](const std::string& text) {
    INFO(text);
    CHECK(cuda_problem() == text);
    CHECK_THROWS_WITH(Cuda(), "[cuda] " + text);
    CHECK(cudaPeekAtLastError() == cudaSuccess);  // it is not left to be found by the next call
    simt::options() = restore.before;
    simt::options().quiet = true;
  };
  ::setenv("container", "docker", 1);
  simt::options().driver = 0;
  says("expected NVIDIA's driver, got none: start the container with --gpus all");
  simt::options().devices = 0;
  says("expected an NVIDIA GPU, got none: start the container with --gpus all");
  simt::options().driver = 12080;
  says("expected a driver for CUDA 13.0 or newer, got one for CUDA 12.8: update NVIDIA's driver");
  simt::options().capability = 89;
  says(
      "expected code for sm_89 (emulated by tests/simt), got code for sm_90: configure with "
      "-DCMAKE_CUDA_ARCHITECTURES=89 (nvcc -arch=sm_89) and build again");
  simt::options().capability = 75;
  says("expected a GPU of compute capability 8.0 or newer, got emulated by tests/simt of 7.5: use --device cpu");
  CHECK(cuda_problem() == "");
}

TEST_CASE("cuda: a kernel of a unit that was compiled for other GPUs says so when it is launched") {
  OnDevice<float> x(std::vector<float>{1, 2});
  const simt::Options before = simt::options();
  simt::options().quiet = true;
  simt::options().capability = 80;
  CHECK_THROWS_WITH(kernels::cuda::launch(cuda(), "any_kernel", kernels::cuda::any_kernel<>, {1}, {32}, 0),
                    ContainsSubstring("after kernel any_kernel: compile its unit for this GPU's architecture"));
  simt::options() = before;
  kernels::cuda::launch(cuda(), "any_kernel", kernels::cuda::any_kernel<>, {1}, {32}, 0);
  wait(cuda());
}
#endif
