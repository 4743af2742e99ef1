// The tracer sees every load and store of a kernel. Programs linked with it are compiled with -fsanitize=thread, whose
// calls go to hooks.cpp instead of libtsan. It checks and counts every kernel that runs:
//
//   findings()     races, uninitialized reads, accesses outside the kernel's memory, uses of copies not waited for
//   kernels()      requests, sectors, bank conflicts and bytes of every kernel so far, and of each of its lines
//   set_counting(false), clear()
//
// Two accesses of a kernel, one of them a write, race if nothing orders them: a barrier of the block, a collective that
// both lanes take part in, a barrier of the grid. Atomics do not race with each other. Accesses of two kernels, or of a
// kernel and a copy, race if no stream, event, graph or wait of the host orders them. The result does not depend on the
// order in which threads happen to run.
//
// A request is one instruction of a warp: the k-th execution of the same code by each lane since the lanes last met.
// Sectors     32 bytes of device memory; ideal: the bytes of the request, each counted once, / 32, rounded up;
//             placed: the same for contiguous bytes that begin at the request's lowest address
// Wavefronts  cycles of shared memory: the most words in one of the 32 banks; accesses of 8 bytes are processed by half
//             warps, of 16 bytes by quarter warps; ideal: 1 for each of these
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace simt::trace {

enum class Kind { race, stream_race, uninitialised, out_of_bounds, foreign, not_waited_for };

struct Finding {
  Kind kind;
  std::string kernel, text;  // text names kernel, lines and threads
  std::uint64_t times;
};

struct Counts {
  std::uint64_t requests = 0, sectors = 0, ideal_sectors = 0, placed_sectors = 0;  // of device memory
  std::uint64_t shared_requests = 0, wavefronts = 0, ideal_wavefronts = 0;
  std::uint64_t bytes_read = 0, bytes_written = 0;  // of device memory, each request counted
  std::uint64_t atomics = 0, products = 0;          // atomics per thread, products per warp
  void add(const Counts& o);
};

struct Line {
  std::string place;  // file:line
  Counts counts;
};

struct Kernel {
  std::string name, function;  // the name in the launch, and the function's name
  std::uint64_t launches = 0;
  unsigned threads = 0;    // largest block
  std::size_t shared = 0;  // bytes, largest block
  Counts counts;
  std::uint64_t unique_read = 0, unique_written = 0;  // bytes, each counted once per launch
  std::vector<Line> lines;                            // by place
};

std::vector<Finding> findings();
std::vector<Kernel> kernels();
/// The kernel launched with that name; all counts are 0 if there was none.
Kernel kernel(const std::string& name);
void set_counting(bool);
/// Clears findings and counts.
void clear();
/// The number of findings so far; cheap.
std::size_t findings_so_far();

/// Prints a table of kernels, and their lines with more than 1.05 times the placed sectors or with bank conflicts.
void print(std::FILE* to);

}  // namespace simt::trace
