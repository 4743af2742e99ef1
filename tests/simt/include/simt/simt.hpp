// What tests ask of the stand-in for CUDA, and what its headers stand on.
//
//   simt::options()       orders of threads and blocks, when streams run, and so on; first set from the environment
//   simt::last_report()   what was wrong, in words: of a failed call, or of a kernel that failed
//   simt::reset()         forgets errors (a kernel's failure sticks, as in CUDA)
//   simt::for_each_order(f)   f() under every order of threads and blocks
//   simt::same_in_every_order(f)   whether f()'s vector has the same bits under all of them
//   simt::counters()      launches, copies and allocations so far
//
// Environment:
//   TENON_SIMT_ORDER=forward|reverse|interleaved|random[:SEED]   of threads and of blocks
//   TENON_SIMT_STREAMS=immediate|late|late_reverse               late: nothing runs before somebody waits for it
//   TENON_SIMT_PROTECT=1     device memory cannot be read by the host
//   TENON_SIMT_SMS=4         multiprocessors
//   TENON_SIMT_DEVICES=0     as if there were no GPU
//   TENON_SIMT_DRIVER=0      as if there were no driver; 12080: one for CUDA 12.8, which is too old
//   TENON_SIMT_CAPABILITY=80 compute capability of the GPU: below 90, for which kernels are compiled, none can run
//   TENON_SIMT_DEVICE_ERROR=802   what is answered where a device is wanted
//   TENON_SIMT_ONE_ORDER=1   for_each_order() is content with the first
//   TENON_SIMT_QUIET=1       reports are not printed to stderr
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "../driver_types.h"

namespace simt {

enum class Order { forward, reverse, interleaved, random };
enum class Streams { immediate, late, late_reverse };

struct Options {
  Order threads = Order::forward, blocks = Order::forward;
  std::uint64_t seed = 1;
  Streams streams = Streams::immediate;
  bool protect = false;  // to be set while nothing is allocated
  bool quiet = false;
  bool one_order = false;  // for_each_order() is content with the first
  int devices = 1;
  int multiprocessors = 4;
  int capability = 90;                              // 10 * major + minor
  int driver = 13000;                               // version
  int device_error = 0;                             // what every call that wants a device answers; 0: none
  bool reads_pageable = false;                      // copies from ordinary host memory may be made after the call
  std::size_t device_bytes = std::size_t(4) << 30;  // memory of the device
  void set_order(Order o, std::uint64_t s = 1) { threads = blocks = o, seed = s; }
};
Options& options();

/// The last error in words, with the kernel, block and thread. Empty after reset().
const std::string& last_report();
/// Forgets errors and what late streams have not done yet.
void reset();

struct Counters {
  std::size_t launches, copies, fills, graphs, graph_launches, allocations, allocated_bytes, host_allocations;
};
/// Totals (graphs: made to be launched), but for allocated_bytes, which is what is allocated now.
const Counters& counters();

/// Names the next launch of this thread in reports. `name` is kept as a pointer.
void name_next_launch(const char* name);

/// Device memory that is given to somebody else: what it holds is no value any more, if somebody watches (trace/).
void undefined(void* at, std::size_t size);

/// f() under every order of threads and blocks: forward, reverse, interleaved and two random ones.
template <class F>
void for_each_order(F&& f) {
  const Options before = options();
  struct Restore {
    const Options& to;
    ~Restore() { options() = to; }
  } restore{before};
  for (Order o : {Order::forward, Order::reverse, Order::interleaved, Order::random, Order::random}) {
    options().set_order(o, options().seed + (o == Order::random));
    f();
    if (before.one_order) break;
  }
}

/// Whether f(), which gives a vector, gives the same bits under every order: what most missing barriers do not.
template <class F>
bool same_in_every_order(F&& f) {
  bool same = true, begun = false;
  decltype(f()) first;
  for_each_order([&] {
    const auto now = f();
    if (!begun) first = now;
    begun = true;
    same =
        same && now.size() == first.size() && std::memcmp(now.data(), first.data(), now.size() * sizeof(now[0])) == 0;
  });
  return same;
}

// --- for the headers beside this one ----------------------------------------------------------------------------------
/// Where a call was written.
struct Site {
  const char* file = "";
  unsigned line = 0;
  static constexpr Site here(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

/// All threads of the block that have not returned. What is returned: how many gave a true predicate, and of how many.
struct BarrierCount {
  int yes, all;
};
BarrierCount block_barrier(const char* what, bool predicate, Site site);
/// All threads of a cooperative launch.
void grid_barrier(Site site = Site::here());

/// The lanes of `mask` meet; the last one calls combine(payloads, lanes), payloads by lane. `aligned`: all must come from
/// the same place, and none may be absent.
using Combine = void (*)(void* const* payloads, unsigned lanes);
void warp_collective(const char* what, unsigned mask, void* payload, Combine combine, Site site, bool aligned = false);

unsigned lane_index();
unsigned warp_lanes();  // of the own warp, those that have not returned
[[noreturn]] void kernel_fault(cudaError_t error, const char* text, Site site = Site::here());
void yield();  // in a loop that waits for another thread
void* shared_memory(std::size_t bytes, std::size_t alignment, Site site = Site::here());
void check_aligned(const void* pointer, std::size_t alignment, Site site);

bool in_kernel();

// Where each access of a kernel reports itself (trace/), those that are one instruction for the GPU, and several or none for
// this compiler, do it by themselves: their functions are left out, and stay functions so that their caller is known.
#ifndef SIMT_TRACED
#if defined(__SANITIZE_THREAD__)
#define SIMT_TRACED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIMT_TRACED 1
#endif
#endif
#endif
#if SIMT_TRACED
#define SIMT_ONE_ACCESS __attribute__((noinline, no_sanitize("thread")))
#define SIMT_THROUGH __attribute__((always_inline))
void traced_access(const void* at, std::size_t size, bool write, bool atomic, const void* code);
void traced_fence();
#define SIMT_FENCE() ::simt::traced_fence()
#define SIMT_ACCESS(at, size, write, atomic) ::simt::traced_access(at, size, write, atomic, __builtin_return_address(0))
#else
#define SIMT_ONE_ACCESS
#define SIMT_THROUGH
#define SIMT_FENCE() static_cast<void>(0)
#define SIMT_ACCESS(at, size, write, atomic) static_cast<void>(0)
#endif

/// The struct in shared memory: S must fill what the launch asked for, and no more.
template <class S>
S& shared(Site site = Site::here()) {
  return *static_cast<S*>(shared_memory(sizeof(S), alignof(S), site));
}

}  // namespace simt
