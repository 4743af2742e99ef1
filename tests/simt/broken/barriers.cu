// Wrong uses of barriers that the stand-in must catch.
// SPDX-License-Identifier: MIT
#include "simt/support.hpp"

namespace {

template <int Threads>
struct Values {
  int of_thread[Threads];
};

template <int Threads, bool Before, bool Between>
__global__ void neighbours(const int* x, int* y) {
  auto& s = simt::shared<Values<Threads>>();
  const unsigned t = threadIdx.x;
  s.of_thread[t] = x[t];
  if (Before) __syncthreads();
  const int right = s.of_thread[(t + 1) % Threads];
  if (Between) __syncthreads();
  s.of_thread[t] = right * 3;
  __syncthreads();
  y[t] = s.of_thread[(t + Threads - 1) % Threads];
}

template <class T>
__global__ void two_places(T* out) {
  if (threadIdx.x < 20)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 1;
}

template <class T>
__global__ void barrier_and_shuffle(T* out) {
  T v = 0;
  if (threadIdx.x < 32)
    __syncthreads();
  else if (threadIdx.x != 40)
    v = __shfl_xor_sync(0xffffffffu, v, 1);
  else
    __syncthreads();
  out[threadIdx.x] = v;
}

template <class T>
__global__ void grid_wide(T* out) {
  simt::grid_barrier();
  *out = 1;
}

template <class T>
__global__ void waits_for_nobody(volatile T* flag) {
  while (*flag != 1) simt::yield();
}

template <class T>
__global__ void waits_for_block(volatile T* flag, T* out) {
  if (blockIdx.x == 0) {
    while (*flag != 1) simt::yield();
    *out = 7;
  } else {
    *flag = 1;
  }
}

template <class T>
__global__ void two_phases(T* x, T* y) {
  x[blockIdx.x] = T(blockIdx.x);
  simt::grid_barrier();
  y[blockIdx.x] = x[(blockIdx.x + 1) % gridDim.x];
}

cudaError_t run_together(auto kernel, unsigned blocks, auto... arguments) {
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks, config.blockDim = 1, config.attrs = &cooperative, config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace

TEST_CASE("a missing barrier shows in some order of threads") {
  std::vector<int> x(96);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * i);
  Device<int> dx(x);
  const auto same = [&](auto kernel) {
    return simt::same_in_every_order([&] {
      Device<int> dy(96);
      REQUIRE(run(kernel, 1, 96, sizeof(Values<96>), dx.data, dy.data) == cudaSuccess);
      return dy.read();
    });
  };
  CHECK(same(neighbours<96, true, true>));
  CHECK_FALSE(same(neighbours<96, false, true>));
  CHECK_FALSE(same(neighbours<96, true, false>));
}

TEST_CASE("a barrier in two places at once is divergent") {
  Device<int> out(32);
  const std::string said = failure_of([&] {
    simt::name_next_launch("two_places");
    run(two_places<int>, 1, 32, 0, out.data);
  });
  CHECK_THAT(said, ContainsSubstring("divergent barrier: this thread is in __syncthreads at barriers.cu:"));
  CHECK_THAT(said, ContainsSubstring("kernel two_places, block (0, 0, 0), thread (20, 0, 0)"));
}

TEST_CASE("who waits for each other is named") {
  Device<int> out(64);
  const std::string said = failure_of([&] { run(barrier_and_shuffle<int>, 1, 64, 0, out.data); });
  CHECK((said.find("divergent barrier") != said.npos || said.find("deadlock") != said.npos));
  const std::string same_place = failure_of([&] {
    simt::name_next_launch("half");
    run(
        +[](int* o) {
          if (threadIdx.x < 32)
            __syncthreads();
          else
            o[threadIdx.x] = __shfl_xor_sync(0xffffffffu, threadIdx.x == 33 ? 1 : 0, 1);
          if (threadIdx.x >= 32) __shfl_xor_sync(0xffffffffu >> (threadIdx.x % 2), 1, 0);
        },
        1, 64, 0, out.data);
  });
  CHECK_THAT(same_place, ContainsSubstring("kernel half"));
  CHECK_THAT(same_place, ContainsSubstring("which does not name it") || ContainsSubstring("different calls") ||
                             ContainsSubstring("deadlock"));
}

TEST_CASE("a barrier of the grid needs a launch of blocks that run together") {
  Device<int> out(64), more(64);
  CHECK_THAT(failure_of([&] { run(grid_wide<int>, 2, 32, 0, out.data); }),
             ContainsSubstring("in a launch that is not cooperative"));
  simt::for_each_order([&] {
    REQUIRE(run_together(two_phases<int>, 8, out.data, more.data) == cudaSuccess);
    const auto y = more.read();
    for (int i = 0; i < 8; ++i) REQUIRE(y[static_cast<std::size_t>(i)] == (i + 1) % 8);
  });
  const Restored restored;
  simt::options().quiet = true;
  CHECK(run_together(two_phases<int>, 1000, out.data, more.data) == cudaErrorCooperativeLaunchTooLarge);
}

TEST_CASE("a loop that waits for what does not come ends") {
  Device<int> flag(1), out(1);
  CHECK_THAT(failure_of([&] { run(waits_for_nobody<int>, 1, 4, 0, flag.data); }),
             ContainsSubstring("all threads wait in loops"));
  // Blocks that wait for each other need a cooperative launch.
  CHECK_THAT(failure_of([&] { run(waits_for_block<int>, 2, 1, 0, flag.data, out.data); }),
             ContainsSubstring("all threads wait in loops"));
  simt::for_each_order([&] {
    REQUIRE(cudaMemset(flag.data, 0, 4) == cudaSuccess);
    REQUIRE(run_together(waits_for_block<int>, 2, flag.data, out.data) == cudaSuccess);
    REQUIRE(out.read()[0] == 7);
  });
}
