// The stand-in's interface for tests, and the base of its CUDA headers.
//
//   simt::options()       orders of threads and blocks, when streams run, and so on; initialized from the environment
//   simt::last_report()   the error message of a failed call or kernel
//   simt::reset()         clears errors (a kernel's failure is sticky, as in CUDA)
//   simt::for_each_order(f)   calls f() under every order of threads and blocks
//   simt::same_in_every_order(f)   whether f()'s vector has the same bits under all orders
//   simt::counters()      launches, copies and allocations so far
//
// Environment:
//   TENON_SIMT_ORDER=forward|reverse|interleaved|random[:SEED]   of threads and of blocks
//   TENON_SIMT_STREAMS=immediate|late|late_reverse               late: work runs only when it is waited for
//   TENON_SIMT_PROTECT=1     the host cannot access device memory
//   TENON_SIMT_SMS=4         multiprocessors
//   TENON_SIMT_DEVICES=0     as if there were no GPU
//   TENON_SIMT_DRIVER=0      as if there were no driver; 12080: a driver for CUDA 12.8, which is too old
//   TENON_SIMT_CAPABILITY=80 compute capability of the GPU; kernels are compiled for 90 and cannot run below it
//   TENON_SIMT_DEVICE_ERROR=802   the error of every call that needs a device
//   TENON_SIMT_ONE_ORDER=1   for_each_order() uses only the first order
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
  bool protect = false;  // set it while nothing is allocated
  bool quiet = false;
  bool one_order = false;  // for_each_order() uses only the first order
  int devices = 1;
  int multiprocessors = 4;
  int capability = 90;                              // 10 * major + minor
  int driver = 13000;                               // version
  int device_error = 0;                             // the error of every call that needs a device; 0: none
  bool reads_pageable = false;                      // copies from ordinary host memory may be made after the call
  std::size_t device_bytes = std::size_t(4) << 30;  // memory of the device
  void set_order(Order o, std::uint64_t s = 1) { threads = blocks = o, seed = s; }
};
Options& options();

/// The last error message, with the kernel, block and thread. Empty after reset().
const std::string& last_report();
/// Clears errors and the pending work of late streams.
void reset();

struct Counters {
  std::size_t launches, copies, fills, graphs, graph_launches, allocations, allocated_bytes, host_allocations;
};
/// Totals so far (graphs: instantiated), except allocated_bytes, which is the current amount.
const Counters& counters();

/// Names the next launch of this thread in reports. Only the pointer `name` is stored.
void name_next_launch(const char* name);

/// Marks device memory as reused. For an observer (trace/), its values are then undefined.
void undefined(void* at, std::size_t size);

/// Calls f() under every order of threads and blocks: forward, reverse, interleaved and two random ones.
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

/// Whether f(), which returns a vector, gives the same bits under every order. With most missing barriers it does not.
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
/// The source location of a call.
struct Site {
  const char* file = "";
  unsigned line = 0;
  static constexpr Site here(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

/// A barrier of all threads of the block that have not returned. Returns how many gave a true predicate, and the total.
struct BarrierCount {
  int yes, all;
};
BarrierCount block_barrier(const char* what, bool predicate, Site site);
/// A barrier of all threads of a cooperative launch.
void grid_barrier(Site site = Site::here());

/// A rendezvous of the lanes of `mask`. The last one calls combine(payloads, lanes), with payloads indexed by lane.
/// `aligned`: all 32 lanes must take part, from the same source location.
using Combine = void (*)(void* const* payloads, unsigned lanes);
void warp_collective(const char* what, unsigned mask, void* payload, Combine combine, Site site, bool aligned = false);

unsigned lane_index();
unsigned warp_lanes();  // lanes of the current warp that have not returned
[[noreturn]] void kernel_fault(cudaError_t error, const char* text, Site site = Site::here());
void yield();  // in a loop that waits for another thread
void* shared_memory(std::size_t bytes, std::size_t alignment, Site site = Site::here());
void check_aligned(const void* pointer, std::size_t alignment, Site site);

bool in_kernel();

// For the tracer (trace/). Some accesses are one instruction on the GPU, but several or none for this compiler. Their
// functions report the access themselves and are not instrumented. They are not inlined, so that their caller is known.
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

/// The block's shared memory as a struct S. Its size should be what the launch requested; a larger S fails.
template <class S>
S& shared(Site site = Site::here()) {
  return *static_cast<S*>(shared_memory(sizeof(S), alignof(S), site));
}

}  // namespace simt
