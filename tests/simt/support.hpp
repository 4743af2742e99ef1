// Helpers of the stand-in's tests: device memory, launches, test values.
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "catch.hpp"

// Device memory that can be filled from and read back to the host.
template <class T>
struct Device {
  T* data = nullptr;
  std::size_t size;
  explicit Device(std::size_t n) : size(n) { REQUIRE(cudaMalloc(&data, n * sizeof(T)) == cudaSuccess); }
  explicit Device(const std::vector<T>& v) : Device(v.size()) {
    REQUIRE(cudaMemcpy(data, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  Device(const Device&) = delete;
  ~Device() { cudaFree(data); }
  std::vector<T> read() const {
    std::vector<T> v(size);
    const cudaError_t e = cudaMemcpy(v.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost);
    INFO(simt::last_report());
    REQUIRE(e == cudaSuccess);
    return v;
  }
};

template <class... P, class... A>
cudaError_t run(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

inline std::vector<float> numbers(std::size_t n, unsigned seed) {
  std::vector<float> v(n);
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 8) / (1 << 23) - 1;
  }
  return v;
}

/// Sets the forward order and immediate streams regardless of the environment, and restores the options at its end.
struct Restored {
  const simt::Options before = simt::options();
  Restored() {
    simt::reset();
    simt::options().set_order(simt::Order::forward);
    simt::options().streams = simt::Streams::immediate;
  }
  Restored(const Restored&) = delete;
  ~Restored() {
    simt::reset();
    simt::options() = before;
  }
};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool under_asan = true;
#elif defined(__has_feature)
constexpr bool under_asan = __has_feature(address_sanitizer);
#else
constexpr bool under_asan = false;
#endif

/// The stderr output of f() in a child process, which f() may end.
template <class F>
std::string said_in_child(F&& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    if (!std::freopen("/dev/null", "w", stdout)) _exit(1);
    for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) signal(s, SIG_DFL);  // not Catch2's
    f();
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char part[4096];
  for (ssize_t n; (n = read(ends[0], part, sizeof(part))) > 0;) said.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return said;
}

/// The report of f(), in which a kernel fails. With a sanitizer, f() runs in a child process, which may end.
template <class F>
std::string failure_of(F&& f) {
  const Restored restored;
  if (under_asan) {
    return said_in_child([&] {
      simt::options().quiet = false;
      f();
      cudaDeviceSynchronize();
    });
  }
  simt::options().quiet = true;
  f();
  CHECK(cudaDeviceSynchronize() != cudaSuccess);
  CHECK(cudaDeviceSynchronize() != cudaSuccess);  // the error is sticky
  return simt::last_report();
}
