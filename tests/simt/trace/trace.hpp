// The tracer: every load and store that a kernel makes, seen. What is linked with it is compiled with -fsanitize=thread,
// whose calls end here instead of in libtsan (hooks.cpp), and every kernel that runs is checked and counted:
//
//   findings()     races, reads of what nobody wrote, accesses to memory that is not the kernel's, copies not waited for
//   kernels()      requests, sectors, bank conflicts and bytes of every kernel so far, and of each of its lines
//   set_counting(false), clear()
//
// Two accesses of a kernel, one of them a write, race if nothing orders them: a barrier of the block, a collective that
// both lanes take part in, a barrier of the grid. Atomics do not race with each other. Accesses of two kernels, or of a
// kernel and a copy, race if neither stream, event, graph nor the host orders them. That does not hang on the order in
// which threads happen to run.
//
// A request is one instruction of a warp: lanes that pass the same code for the same time since they last met.
// Sectors     32 bytes of device memory; ideal: the bytes of the request, each counted once, / 32, rounded up;
//             placed: the same for bytes side by side that begin where the request begins
// Wavefronts  turns that shared memory takes: the most words that lie in one of 32 banks; accesses of 8 bytes go by half
//             a warp, of 16 by a quarter; ideal: 1 for each of these
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
  std::uint64_t bytes_read = 0, bytes_written = 0;  // of device memory, as often as asked for
  std::uint64_t atomics = 0, products = 0;          // atomics by thread, products by warp
  void add(const Counts& o);
};

struct Line {
  std::string place;  // file:line
  Counts counts;
};

struct Kernel {
  std::string name, function;  // as launched, and as written
  std::uint64_t launches = 0;
  unsigned threads = 0;    // the most of a block
  std::size_t shared = 0;  // bytes, the most of a block
  Counts counts;
  std::uint64_t unique_read = 0, unique_written = 0;  // bytes, each counted once a launch
  std::vector<Line> lines;                            // by place
};

std::vector<Finding> findings();
std::vector<Kernel> kernels();
/// The kernel launched by that name; nothing counted if there was none.
Kernel kernel(const std::string& name);
void set_counting(bool);
/// Forgets findings and counts.
void clear();
/// How many findings there were: cheap.
std::size_t findings_so_far();

/// A table of kernels and of those lines that are worse than the ideal by a twentieth.
void print(std::FILE* to);

}  // namespace simt::trace
