// What the tests of the stand-in share: memory on the device, a launch, numbers.
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "catch.hpp"

// What a kernel test needs: memory on the device with what is on the host, and back.
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

/// Options and errors as they were, whatever a test does.
struct Restored {
  const simt::Options before = simt::options();
  Restored() { simt::reset(); }
  Restored(const Restored&) = delete;
  ~Restored() {
    simt::reset();
    simt::options() = before;
  }
};
