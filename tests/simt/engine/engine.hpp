// The internal interfaces of the stand-in for CUDA: errors, memory and the execution of one grid.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "observer.hpp"
#include "simt/launch.hpp"
#include "simt/simt.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#ifndef SIMT_ASAN
#define SIMT_ASAN 0
#endif

namespace simt {

// --- limits of the emulated device: those of compute capability 9.0, except the multiprocessors ------------------------
inline constexpr int compiled_for = 90;  // the value of __CUDA_ARCH_LIST__, divided by 10
inline constexpr unsigned max_threads = 1024, max_grid_x = 0x7fffffffu, max_grid_yz = 65535;
inline constexpr std::size_t shared_default = 48 << 10, shared_max = 227 << 10, shared_of_multiprocessor = 228 << 10;
inline constexpr std::size_t shared_reserved = 1 << 10, parameters_max = 32764;
inline constexpr int threads_of_multiprocessor = 2048, blocks_of_multiprocessor = 32;

// --- errors (runtime.cpp) -----------------------------------------------------------------------------------------------
/// Stores the error and its message, prints the message unless quiet, and returns `error`.
cudaError_t report(cudaError_t error, std::string text);

// --- one grid (engine.cpp) ----------------------------------------------------------------------------------------------
struct Grid {
  Call call;
  dim3 grid, block;
  std::size_t shared = 0;
  bool cooperative = false;
  const char* name = "kernel";
};
struct Failure {
  cudaError_t error = cudaSuccess;
  std::string text;
};
/// Runs all threads. The first failure ends the grid.
Failure run_grid(const Grid& grid);
std::string text_of(dim3 v);
std::string text_of(const Site& site);

// The current thread's cp.async copies that it has not waited for.
struct AsyncCopies {
  struct One {
    void* to;
    const void* from;
    unsigned size, bytes;
    int group;
  };
  std::vector<One> copies;
  int closed = 0;  // closed groups
};
AsyncCopies& async_copies();
bool in_shared(const void* p, std::size_t size);  // of the current block
/// fail_kernel ends the current thread and its grid. Call say() before it in a separate statement, because destructors
/// of the caller do not run.
void say(std::string words);
[[noreturn]] void fail_kernel(cudaError_t error);
/// Runs `now`, or queues or captures the result of `make`, an equivalent that outlives this call.
cudaError_t enqueue(cudaStream_t stream, const char* call, const std::function<void()>& now,
                    const std::function<std::function<void()>()>& make);

// --- memory (memory.cpp) ------------------------------------------------------------------------------------------------
/// `size` bytes that end, except for alignment, at a guard page. With AddressSanitizer the bytes after the end are
/// poisoned. All bytes are initially 0xff: NaN as a float, and no small index.
struct Region {
  char* base = nullptr;  // of the mapping, guards included
  std::size_t mapped = 0;
  char* data = nullptr;
  std::size_t size = 0, room = 0;  // room: up to the guard
  int device = 0;

  bool holds(const void* p, std::size_t n = 1) const {
    const char* c = static_cast<const char*>(p);
    return c >= data && c + n <= data + size;
  }
};
Region map_region(std::size_t size, std::size_t alignment);
void unmap_region(Region&);
/// Makes data the last `size` bytes before the guard, up to alignment, filled with 0xff. The rest is out of bounds.
void fit_region(Region&, std::size_t size);
/// False if the bytes between the data's end and the guard were overwritten.
bool intact(const Region&);

enum class Where { host, pinned, device };
struct Place {
  Where where;
  const Region* region;  // null: host
};
Place place_of(const void* pointer);
cudaError_t allocate_device(void** pointer, std::size_t size, int device);
cudaError_t free_device(void* pointer);
cudaError_t allocate_pinned(void** pointer, std::size_t size);
cudaError_t free_pinned(void* pointer);
/// A message if the bytes after any allocation were overwritten, else empty.
std::string overrun();
/// Describes an address by the allocation at or near it.
std::string describe_address(const void* pointer);
Counters& count();

/// While one is alive, device memory is accessible; if a device is given, only that device's memory.
struct DeviceAccess {
  explicit DeviceAccess(int device = -1);
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  int device;
};

}  // namespace simt
