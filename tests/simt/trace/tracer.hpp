// The tracer's internals: accesses to each cell of memory (races.cpp), the order between streams (streams.cpp),
// requests of warps (profile.cpp), and messages (report.cpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "../engine/engine.hpp"
#include "trace.hpp"

namespace simt::trace {

// Time counts the events that order accesses: launches, starts of blocks, barriers, collectives, fences. An access is
// stored with its time. It comes before another access if its time is before the last event that the other knows of.
using Time = std::uint32_t;

// A place in the code, together with its call stack.
using Site = std::uint32_t;  // an index; below 2^22
inline constexpr Site max_sites = 1u << 22;
inline constexpr std::uint32_t nobody = 0xffffffffu;  // as a block: the access is not a kernel's

struct Write {
  Time time = 0;  // 0: none
  std::uint32_t block = 0, who = 0;
  unsigned thread() const { return who >> 22; }
  Site site() const { return who & (max_sites - 1); }
};
// Reads by lanes of one warp that are not ordered.
struct Read {
  Time time = 0;
  std::uint32_t block = 0, lanes = 0, who = 0;
  unsigned warp() const { return who >> 22; }
  Site site() const { return who & (max_sites - 1); }
};
// 4 bytes of memory. Two reads are enough to detect that a write races: if two blocks or two warps read, it races with
// at least one of them.
struct Cell {
  Write write;
  Read read[2];
  std::uint32_t bytes = 0;    // if not 0: index of the cell's single bytes in bytes_
  std::uint32_t atomics = 0;  // if not 0: index of the atomics since the last write in atomics_
  std::uint8_t written = 0;   // one bit per byte
  bool pending = false;       // a cp.async to it has not arrived
};

inline constexpr std::size_t cells_of_page = 256;
struct Page {
  std::unique_ptr<Cell[]> cells;
  Cell all;  // the state of all cells if `cells` is null
};

struct Shadow {
  const char* data = nullptr;
  std::size_t size = 0;
  std::vector<Page> pages;
};
// Of a block's shared memory. A cell whose `born` differs from `birth` belongs to an earlier block and is reset on use.
struct SharedShadow {
  const char* data = nullptr;
  std::size_t size = 0;
  const char *base = nullptr, *end = nullptr;  // of the mapping around it
  Time birth = 0;
  std::vector<Cell> cells;
  std::vector<Time> born;
};

// --- requests of warps -------------------------------------------------------------------------------------------------
struct Request {
  std::uint32_t lanes = 0;
  std::uint8_t size = 0;
  bool write = false, atomic = false;
  std::uint32_t at[32];  // the lower half of the address
};
struct Open {  // the requests from one place since the lanes last met
  Site site = 0;
  bool shared = false;
  bool listed = false;
  std::uint32_t passed[32] = {};
  std::vector<Request> requests;
};
struct KernelCounts {
  std::string name;
  const void* function = nullptr;
  std::uint64_t launches = 0, unique_read = 0, unique_written = 0;
  unsigned threads = 0;
  std::size_t shared = 0;
  std::unordered_map<Site, Counts> lines;
};

// --- blocks and warps --------------------------------------------------------------------------------------------------
struct Lanes {   // of a warp
  Time all = 0;  // all lanes know all accesses of this warp before it
  bool some = false;
  std::unique_ptr<std::array<std::array<Time, 32>, 32>> known;  // by lane: what it knows of each lane
  std::vector<std::unique_ptr<Open>> open;                      // index: 2 site + shared
  std::vector<Open*> touched;
};

// Order between blocks. After a fence (__threadfence), a thread's atomic releases the writes before the fence: its own,
// and those of its block before the last barrier. A thread that later does an atomic on the same address and then a
// fence acquires them, and after a barrier its whole block does.
struct Released {
  Time all = 0;              // released: accesses before it by any thread of the block
  std::vector<Time> before;  // by thread
};
using Knowledge = std::unordered_map<std::uint32_t, std::shared_ptr<const Released>>;  // by block
struct Got {
  std::shared_ptr<const Knowledge> of;
  Time at = 0;
  unsigned thread = 0;
  bool fenced = false, shared = false;  // fence by that thread; then a barrier of its block
};

struct Slot {
  std::uint32_t block = 0;
  bool fenced = false;       // whether any thread has made a fence
  std::vector<Time> fences;  // by thread: its last fence
  Released released;         // by fences before the last barrier
  std::vector<Got> got;
  Time since = 0;  // its last barrier
  SharedShadow shared;
  std::vector<Lanes> warps;
  std::vector<std::vector<std::uint32_t>> calls;  // by thread: hashes of its call stack
};

// An operation of a stream that has started.
struct Operation {
  Time start = 0;
  std::uint32_t component = 0, number = 0;
  std::uint32_t node = nobody;  // of a graph
  const char* name = "";
  dim3 grid{1, 1, 1}, block{1, 1, 1};
};
using Clock = std::vector<std::uint32_t>;  // by component, the number of the last operation known

struct Found {
  Kind kind;
  std::string kernel;
  Site site, other_site;
  std::string text;  // \1 and \2 stand for the two places
  std::uint64_t times = 1;
};

enum class Access { read, write, atomic };

class Tracer final : public Observer {
 public:
  Tracer();

  void access(const void* at, std::size_t size, Access kind, const void* code);
  void fence();
  void call(const void* code);
  void returned();

  // Observer
  std::size_t submitted(const void* stream, bool legacy, bool blocking) override;
  void starts(std::size_t operation, const char* name) override;
  void recorded(const void* event, const void* stream) override;
  void stream_waits(const void* stream, const void* event) override;
  void host_waits_for_stream(const void* stream) override;
  void host_waits_for_event(const void* event) override;
  void host_waits_for_all() override;
  void graph_begins(const void* graph) override;
  void graph_node(std::size_t i, const std::vector<std::size_t>& after) override;
  void graph_ends() override;
  void allocated(const Region& region) override;
  void freed(const Region& region) override;
  void reads(const void* from, std::size_t size, const char* what) override;
  void writes(const void* to, std::size_t size, const char* what) override;
  void undefined(const void* at, std::size_t size) override;
  void grid_begins(const Grid& grid) override;
  void block_begins(unsigned slot, std::uint64_t block, const Region* shared) override;
  void barrier(unsigned slot) override;
  void grid_barrier() override;
  void collective(unsigned slot, unsigned warp, unsigned lanes, bool all) override;
  void grid_ends() override;
  void async_copy(const void* to, const void* from, unsigned size, unsigned bytes, const void* code) override;
  void async_arrived(const void* to, unsigned size) override;
  void matrix_row(const void* row, const void* code) override;
  void product(const void* code) override;

  std::vector<Finding> findings();
  std::vector<Kernel> kernels();
  void clear();
  std::size_t found() const { return found_.size(); }
  bool counting = true;

 private:
  // races.cpp
  void set_thread(unsigned slot, unsigned thread);
  bool ordered(const Write& w) const;
  std::uint32_t unordered_lanes(const Read& r) const;
  void touch(Cell& cell, unsigned mask, Access kind, const char* at);
  void touch_whole(Cell& cell, unsigned mask, Access kind, const char* at);
  void touch_bytes(Cell& cell, unsigned mask, Access kind, const char* at);
  bool handed_on(std::uint32_t block, unsigned thread, Time time) const;
  void hand_on(const char* at);
  void add_reader(Read (&reads)[2]);
  void race(const char* at, Access kind, const char* other, Time time, std::uint32_t block, unsigned thread, Site site);
  void check_reads(const Read (&reads)[2], const char* other, Access kind, const char* at);
  void find(Kind kind, Site other_site, std::string text);
  Shadow* shadow_of(const char* at);
  Cell& cell_of(Shadow& s, std::size_t i);
  Cell& cell_of(SharedShadow& s, std::size_t i);
  template <class M, class F>
  void for_cells(M& memory, const char* at, std::size_t size, F f);
  template <class M>
  bool in_bounds(const M& memory, const char* at, std::size_t& size, Access kind);
  void elsewhere(const char* at, std::size_t size, Access kind);
  void forget_pages(const void* at, std::size_t size);
  template <class OfCell>
  void for_range(const void* at, std::size_t size, OfCell f);
  Site site_of(const void* code);
  Site named_site(const char* name);
  std::string address(const char* at) const;
  std::string who(const Operation& op, std::uint32_t block, unsigned thread) const;
  // streams.cpp
  bool happened_before(Time time) const;
  const Operation& operation_at(Time time) const;
  void begin_operation(const char* name);
  // profile.cpp
  void ask(const void* at, unsigned size, Access kind, bool shared, Site site);
  void flush(Lanes& w);
  void count(const Open& open, const Request& r);
  // report.cpp
  void resolve();

  Time now_ = 1;

  // The current operation and thread.
  Operation operation_;
  Clock clock_;
  bool after_everything_ = true;
  Time grid_since_ = 1;
  bool in_grid_ = false;
  const Grid* grid_ = nullptr;
  std::string kernel_name_;
  KernelCounts* kernel_ = nullptr;
  std::vector<Slot> slots_;
  unsigned slots_used_ = 0;
  Slot* slot_ = nullptr;
  Lanes* warp_ = nullptr;
  std::uint32_t block_ = nobody;
  unsigned thread_ = 0, lane_ = 0;
  Time block_since_ = 0;
  Site site_ = 0;
  std::unordered_map<const char*, std::shared_ptr<const Knowledge>> known_at_;  // by address of this grid's atomics
  bool shared_ = false;  // whether the current access is to shared memory

  std::map<const char*, Shadow> shadows_;  // by first byte
  Shadow* last_shadow_ = nullptr;
  std::deque<std::array<Cell, 4>> bytes_;
  struct Atomics {
    Read of[2];
  };
  std::deque<Atomics> atomics_;

  std::vector<const void*> codes_;  // by site
  std::vector<const char*> names_;  // of sites that are not code
  std::unordered_map<std::uint64_t, Site> sites_;
  struct Near {
    std::uint64_t key = 0;
    Site site = 0;
  };
  std::array<Near, 1024> near_{};
  std::unordered_map<Site, std::string> places_;

  // Streams.
  struct Stream {
    std::uint32_t component = 0;
    bool legacy = false, blocking = true;
    Clock clock;
  };
  std::map<const void*, Stream> streams_;
  std::map<const void*, Clock> events_;
  Clock host_;
  std::vector<std::uint32_t> submitted_, begun_;  // by component: the number of its last operation
  struct Pending {
    std::uint32_t component, number;
    Clock clock;
  };
  std::unordered_map<std::size_t, Pending> pending_;
  std::size_t operations_ = 0;
  std::vector<Operation> history_;
  std::vector<std::vector<bool>> ancestors_;  // of each node of the graph so far, including itself
  bool graph_after_everything_ = true;

  std::map<std::pair<std::string, const void*>, KernelCounts> kernels_;
  std::map<std::tuple<int, std::string, Site, Site>, std::size_t> index_;
  std::vector<Found> found_;
};
Tracer& tracer();

}  // namespace simt::trace
