// The stand-in for <cuda_runtime.h>. With it, g++ and clang compile the same kernels as nvcc, and a launch runs the
// grid on the CPU, with one fiber per CUDA thread (tests/simt/engine/engine.cpp). It checks logic, but neither speed
// nor memory ordering.
// SPDX-License-Identifier: MIT
#pragma once

#ifndef TENON_SIMT
#define TENON_SIMT 1
#endif

#define __CUDA_ARCH_LIST__ 900  // the architecture that kernels are compiled for
#define __global__
#define __device__
#define __host__
#define __forceinline__ __attribute__((always_inline)) inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
// __shared__, __constant__ and <<< >>> are not supported. One function gives kernels their shared memory, and one
// function launches them.

#include "cuda_runtime_api.h"
#include "simt/device.hpp"
#include "simt/launch.hpp"
#include "simt/tensor_core.hpp"

template <class T>
cudaError_t cudaMalloc(T** pointer, std::size_t size) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), size);
}
template <class T>
cudaError_t cudaMallocHost(T** pointer, std::size_t size) {
  return cudaMallocHost(reinterpret_cast<void**>(pointer), size);
}

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  return simt::launch(*config, kernel, static_cast<A&&>(arguments)...);
}
template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)(P...)) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}
template <class... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*kernel)(P...), int threads,
                                                          std::size_t dynamic_shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, reinterpret_cast<const void*>(kernel), threads,
                                                       dynamic_shared_bytes);
}
