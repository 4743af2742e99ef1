// The parts of the stand-in for CUDA, as they see each other: errors, memory and the running of one grid.
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

// --- limits of the emulated device: those of compute capability 9.0, but for its multiprocessors ------------------------
inline constexpr int compiled_for = 90;  // what __CUDA_ARCH_LIST__ says to kernels
inline constexpr unsigned max_threads = 1024, max_grid_x = 0x7fffffffu, max_grid_yz = 65535;
inline constexpr std::size_t shared_default = 48 << 10, shared_most = 227 << 10, shared_of_multiprocessor = 228 << 10;
inline constexpr std::size_t shared_reserved = 1 << 10, parameters_most = 32764;
inline constexpr int threads_of_multiprocessor = 2048, blocks_of_multiprocessor = 32;

// --- errors (runtime.cpp) -----------------------------------------------------------------------------------------------
/// Keeps the report and, in words, prints it; returns `error`.
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
/// Runs all threads; the first failure ends it.
Failure run_grid(const Grid& grid);
std::string text_of(dim3 v);
std::string text_of(const Site& site);

// What the current thread has asked cp.async for and not waited for.
struct AsyncCopies {
  struct One {
    void* to;
    const void* from;
    unsigned size, bytes;
    int group;
  };
  std::vector<One> copies;
  int closed = 0;  // groups
};
AsyncCopies& async_copies();
bool in_shared(const void* p, std::size_t size);  // of the current block
/// Ends the current thread and its grid; what is wrong is said before, since nothing of the caller is destroyed.
void say(std::string words);
[[noreturn]] void fail_kernel(cudaError_t error);
/// Runs `now`, or queues or captures what `make` gives: something like it that outlives this call.
cudaError_t enqueue(cudaStream_t stream, const char* call, const std::function<void()>& now,
                    const std::function<std::function<void()>()>& make);

// --- memory (memory.cpp) ------------------------------------------------------------------------------------------------
/// `size` bytes that end, but for alignment, where a page begins that nobody may touch; under AddressSanitizer exactly
/// there. All bytes are 0xff: no number, and no small index.
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
/// Sets data to the last `size` bytes of the region's room, poisoned, and what is left of it out of bounds.
void fit_region(Region&, std::size_t size);
/// False if something was written between the data's end and the guard.
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
/// A damaged tail of any allocation, in words, or nothing.
std::string overrun();
/// What an address that could not be touched is near to.
std::string describe_address(const void* pointer);
Counters& count();

/// While one is alive device memory can be touched; if a device is named, of that one alone.
struct DeviceAccess {
  explicit DeviceAccess(int device = -1);
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  int device;
};

}  // namespace simt
