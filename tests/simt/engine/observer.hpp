// The observer of a grid (tests/simt/trace) and the events that the engine reports to it. Without an observer the
// engine reports nothing; this costs one test of a pointer.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simt {

struct Grid;
struct Region;

struct Observer {
  // Order between the operations of streams. An operation is submitted, gets a number, and starts at once or later.
  virtual std::size_t submitted(const void* stream, bool legacy, bool blocking) = 0;
  virtual void starts(std::size_t operation, const char* name) = 0;
  virtual void recorded(const void* event, const void* stream) = 0;
  virtual void stream_waits(const void* stream, const void* event) = 0;
  virtual void host_waits_for_stream(const void* stream) = 0;
  virtual void host_waits_for_event(const void* event) = 0;
  virtual void host_waits_for_all() = 0;
  /// The nodes of a graph are one submitted operation. Node i comes after the earlier nodes listed in `after`.
  virtual void graph_begins(const void* graph) = 0;
  virtual void graph_node(std::size_t i, const std::vector<std::size_t>& after) = 0;
  virtual void graph_ends() = 0;

  // Device memory, and accesses to it that kernels do not make.
  virtual void allocated(const Region& region) = 0;
  virtual void freed(const Region& region) = 0;
  virtual void reads(const void* from, std::size_t size, const char* what) = 0;
  virtual void writes(const void* to, std::size_t size, const char* what) = 0;
  virtual void undefined(const void* at, std::size_t size) = 0;  // its values are undefined from now on

  // A grid. A slot holds an active block.
  virtual void grid_begins(const Grid& grid) = 0;
  virtual void block_begins(unsigned slot, std::uint64_t block, const Region* shared) = 0;
  virtual void barrier(unsigned slot) = 0;
  virtual void grid_barrier() = 0;
  virtual void collective(unsigned slot, unsigned warp, unsigned lanes, bool all) = 0;  // all: not returned lanes
  virtual void grid_ends() = 0;

  // Actions of the current thread that call the engine. `code` is the calling address.
  virtual void async_copy(const void* to, const void* from, unsigned size, unsigned bytes, const void* code) = 0;
  virtual void async_arrived(const void* to, unsigned size) = 0;
  virtual void matrix_row(const void* row, const void* code) = 0;  // 16 bytes, by ldmatrix
  virtual void product(const void* code) = 0;                      // mma, reported by one lane of the warp

 protected:
  ~Observer() = default;
};
extern Observer* observer;

/// Whether a kernel's own code is running.
extern constinit thread_local bool tracing;

/// While one is alive, the running code does not count as a kernel's own.
struct Aside {
  const bool before = tracing;
  Aside() { tracing = false; }
  Aside(const Aside&) = delete;
  ~Aside() { tracing = before; }
};

/// The current thread of a kernel.
struct Running {
  unsigned slot, thread;
  const char* stack;
  std::size_t stack_size;
};
Running running();

}  // namespace simt
