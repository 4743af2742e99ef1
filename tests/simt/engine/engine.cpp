// Runs a grid on the CPU. Each CUDA thread runs on a fiber. A fiber runs one thread after another while none of them
// waits, so a kernel without barriers costs one call per thread. A waiting thread switches directly to a ready one,
// without a scheduler in between, so a barrier costs one switch per thread.
//
// Orders: `forward` and `reverse` run a warp as far as possible before the next one starts. `interleaved` starts all
// threads, lane by lane over the warps, before any continues. `random` draws a new order at every barrier.
//
// A failure is never an exception. It is stored, and its fiber is abandoned.
// SPDX-License-Identifier: MIT
#include "engine.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "simt/device.hpp"

#if SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

Observer* observer = nullptr;
constinit thread_local bool tracing = false;

namespace {

#define TENON_SIMT_INLINE __attribute__((always_inline)) inline

namespace context = boost::context::detail;

constexpr std::size_t stack_size = SIMT_ASAN ? 256 << 10 : 64 << 10;
constexpr std::size_t guard_size = 64 << 10;  // a large frame must not step over it

struct Fiber {
  context::fcontext_t context = nullptr;
  char* mapping = nullptr;  // of the stack, after its guard
  const void* bottom = nullptr;
  std::size_t size = 0;
  void* fake = nullptr;  // AddressSanitizer's
};

struct Block;
struct Warp;

enum class Wait : std::uint8_t { no, barrier, warp, grid, spin };

struct Thread {
  Fiber* fiber = nullptr;  // null: not started
  Thread* next = nullptr;  // in the list of ready threads
  Block* block = nullptr;
  Warp* warp = nullptr;
  uint3 index{};
  unsigned lane = 0;
  bool done = false;
  Wait wait = Wait::no;
  const char* what = "";  // what it waits for: the name of the call, its lanes, its data
  unsigned mask = 0;
  void* payload = nullptr;
  Combine combine = nullptr;
  bool aligned = false;
  Site site;
};

struct Warp {
  Thread* threads = nullptr;  // its first thread
  unsigned lanes = 0, alive = 0, waiting = 0;
};

struct Block {
  uint3 index{};
  Thread* threads = nullptr;
  Warp* warps = nullptr;
  int alive = 0, arrived = 0, yes = 0;
  BarrierCount result{0, 0};
  Thread* first = nullptr;  // the first thread that arrived
  Region* shared = nullptr;
};

struct Engine {
  const Grid* grid = nullptr;
  unsigned n = 0;  // threads per block
  std::size_t blocks = 0, next_block = 0;
  std::size_t stride = 1, offset = 0;  // of a random order of blocks
  int alive = 0;                       // threads of the active blocks
  int at_grid = 0;                     // those of them that wait for the grid

  std::vector<Thread> threads;     // of the active blocks
  std::vector<AsyncCopies> async;  // of each thread; empty until a kernel uses cp.async
  std::vector<Warp> warps;
  std::vector<Block> live;
  std::vector<std::unique_ptr<Region>> shared;
  std::vector<std::uint16_t> begin, order;  // order of a block's threads: at the start, and after a barrier
  std::size_t begun = 0, to_begin = 0;      // over all active blocks
  Thread *ready = nullptr, *ready_last = nullptr;
  bool breadth = false, random = false;
  std::uint64_t state = 0;
  std::size_t launches = 0, spins = 0;

  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  Fiber host;
  Fiber* running = nullptr;
  Thread* current = nullptr;
  Thread* handed = nullptr;  // the thread that an idle fiber must start
  std::string words;
  Failure failure;
  const void* bad_address = nullptr;  // set by the signal handler
  int signal = 0;
  bool misaligned = false;
  bool active = false;
};
Engine engine;

std::uint64_t draw() {  // splitmix64
  std::uint64_t z = engine.state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Compares names or files, which are usually the same literal.
bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
bool same(const Site& a, const Site& b) { return a.line == b.line && same(a.file, b.file); }

// --- fibers -----------------------------------------------------------------------------------------------------------
void work();

// Switches from `from` to `to`, and returns when another fiber switches to `from`. Inlined, like its callers, because
// the CPU mispredicts every return after a switch.
TENON_SIMT_INLINE void jump(Fiber* from, Fiber* to) {
  engine.running = to;
#if SIMT_ASAN
  __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
  const context::transfer_t came = context::jump_fcontext(to->context, from);
  Fiber* const other = static_cast<Fiber*>(came.data);
  other->context = came.fctx;
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(from->fake, &other->bottom, &other->size);
#endif
}

void enter(context::transfer_t came) {
  Fiber* const other = static_cast<Fiber*>(came.data);
  other->context = came.fctx;
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &other->bottom, &other->size);
#endif
  work();
}

void make_context(Fiber& f, std::size_t number) {
  // Stacks with the same offset in a page would compete for few cache lines.
  char* const top = f.mapping + stack_size - (number * 5 % 61) * 64;
  f.fake = nullptr;
  f.bottom = f.mapping;
  f.size = stack_size;
  f.context = context::make_fcontext(top, static_cast<std::size_t>(top - f.mapping), enter);
}

Fiber* take_fiber() {
  if (engine.idle.empty()) {
    void* const p = mmap(nullptr, stack_size + guard_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      std::fprintf(stderr, "simt: expected memory for the stack of a thread, got none\n");
      std::abort();
    }
    mprotect(p, guard_size, PROT_NONE);
    auto f = std::make_unique<Fiber>();
    f->mapping = static_cast<char*>(p) + guard_size;
    make_context(*f, engine.fibers.size());
    engine.idle.push_back(f.get());
    engine.fibers.push_back(std::move(f));
    engine.idle.reserve(engine.fibers.size());
  }
  Fiber* const f = engine.idle.back();
  engine.idle.pop_back();
  return f;
}

// After a failure some fibers are inside a kernel, so all are reset.
void renew_fibers() {
  engine.idle.clear();
  for (std::size_t i = 0; i < engine.fibers.size(); ++i) {
#if SIMT_ASAN
    __asan_unpoison_memory_region(engine.fibers[i]->mapping, stack_size);
#endif
    make_context(*engine.fibers[i], i);
    engine.idle.push_back(engine.fibers[i].get());
  }
}

// --- words ------------------------------------------------------------------------------------------------------------
std::string name_of(const Grid& grid) {
  if (grid.name) return grid.name;
  Dl_info info{};
  if (dladdr(grid.call.function, &info) == 0 || !info.dli_sname) return "without a name";
  int status = 0;
  char* const plain = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  const std::string name = status == 0 ? plain : info.dli_sname;
  std::free(plain);
  return name;
}

std::string here() {
  const Thread* const t = engine.current;
  std::string text = "kernel " + name_of(*engine.grid);
  if (t) text += ", block " + simt::text_of(dim3(t->block->index)) + ", thread " + simt::text_of(dim3(t->index));
  return text;
}

// Ends the grid with the last message of say(). It does not return, and destructors of the caller do not run. So the
// caller builds the message in a separate statement before.
[[noreturn]] void leave(cudaError_t error) {
  tracing = false;
  if (engine.failure.error == cudaSuccess) {
    engine.failure.error = error;
    engine.failure.text = here() + ": " + engine.words;
  }
  jump(engine.running, &engine.host);
  std::abort();  // not reached
}

// "threads 0-31, 64 of block (0, 0, 0)"
std::string text_of(const std::vector<const Thread*>& threads) {
  std::string text = threads.size() == 1 ? "thread " : "threads ";
  const auto number = [](const Thread* t) { return static_cast<unsigned>(t - t->block->threads); };
  for (std::size_t i = 0; i < threads.size();) {
    std::size_t j = i;
    while (j + 1 < threads.size() && number(threads[j + 1]) == number(threads[j]) + 1) ++j;
    text += (i ? ", " : "") + std::to_string(number(threads[i]));
    if (j > i) text += "-" + std::to_string(number(threads[j]));
    i = j + 1;
  }
  return text + " of block " + simt::text_of(dim3(threads[0]->block->index));
}

std::string who_waits() {
  std::string text;
  for (const Block& b : engine.live) {
    std::vector<const Thread*> left;
    for (unsigned t = 0; t < engine.n; ++t)
      if (!b.threads[t].done && b.threads[t].wait != Wait::no) left.push_back(&b.threads[t]);
    while (!left.empty() && text.size() < 1500) {
      const Thread& t = *left[0];
      std::vector<const Thread*> group, rest;
      for (const Thread* o : left) {
        const bool equal = same(o->what, t.what) && same(o->site, t.site) &&
                           (t.wait != Wait::warp || (o->mask == t.mask && o->warp == t.warp));
        (equal ? group : rest).push_back(o);
      }
      text += "\n  " + text_of(group) + (group.size() == 1 ? " waits" : " wait") + " in " + t.what + " at " +
              text_of(t.site);
      if (t.wait == Wait::warp) {
        char mask[32];
        std::snprintf(mask, sizeof(mask), " with mask %08x", t.mask);
        text += mask;
      }
      left = std::move(rest);
    }
  }
  return text;
}

// --- blocks -----------------------------------------------------------------------------------------------------------
std::size_t block_at(std::size_t i) {
  switch (options().blocks) {
    case Order::forward: return i;
    case Order::reverse: return engine.blocks - 1 - i;
    case Order::interleaved: {  // the even ones, then the odd ones backwards
      const std::size_t even = (engine.blocks + 1) / 2;
      return i < even ? 2 * i : 2 * (engine.blocks - 1 - i) + 1;
    }
    case Order::random: return (i * engine.stride + engine.offset) % engine.blocks;
  }
  return i;
}

void shuffle(std::vector<std::uint16_t>& v) {
  for (std::size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[draw() % i]);
}

void order_threads() {
  engine.begin.resize(engine.n);
  const unsigned warps = (engine.n + 31) / 32;
  unsigned at = 0;
  if (options().threads == Order::interleaved) {
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned w = 0; w < warps; ++w)
        if (w * 32 + lane < engine.n) engine.begin[at++] = static_cast<std::uint16_t>(w * 32 + lane);
  } else {
    std::iota(engine.begin.begin(), engine.begin.end(), std::uint16_t(0));
    if (options().threads == Order::reverse) std::reverse(engine.begin.begin(), engine.begin.end());
    if (options().threads == Order::random) shuffle(engine.begin);
  }
  engine.order = engine.begin;
}

// Prepares the next `count` blocks.
void set_up(std::size_t count) {
  engine.begun = 0;
  engine.to_begin = count * engine.n;
  engine.alive = static_cast<int>(engine.to_begin);
  engine.at_grid = 0;
  const unsigned warps = (engine.n + 31) / 32;
  for (std::size_t i = 0; i < count; ++i) {
    Block& b = engine.live[i];
    const std::size_t at = block_at(engine.next_block++);
    const dim3& g = engine.grid->grid;
    b.index = {static_cast<unsigned>(at % g.x), static_cast<unsigned>(at / g.x % g.y),
               static_cast<unsigned>(at / g.x / g.y)};
    b.alive = static_cast<int>(engine.n);
    b.arrived = b.yes = 0;
    b.first = nullptr;
    for (unsigned w = 0; w < warps; ++w) {
      Warp& warp = b.warps[w];
      warp.alive = warp.lanes;
      warp.waiting = 0;
    }
    if (engine.grid->shared) fit_region(*b.shared, engine.grid->shared);
    if (observer) observer->block_begins(static_cast<unsigned>(i), at, engine.grid->shared ? b.shared : nullptr);
  }
  if (engine.random && count == 1) shuffle(engine.begin);
}

void prepare(const Grid& grid) {
  const dim3 block = grid.block;
  engine.grid = &grid;
  engine.n = block.x * block.y * block.z;
  engine.blocks = static_cast<std::size_t>(grid.grid.x) * grid.grid.y * grid.grid.z;
  engine.next_block = 0;
  engine.ready = engine.ready_last = nullptr;
  engine.breadth = options().threads == Order::interleaved;
  engine.random = options().threads == Order::random;
  engine.state = options().seed * 0x2545f4914f6cdd1du + ++engine.launches;
  engine.spins = 0;
  engine.failure = {};
  engine.signal = 0;
  if (options().blocks == Order::random) {
    do engine.stride = draw() % engine.blocks + 1;
    while (std::gcd(engine.stride, engine.blocks) != 1);
    engine.offset = draw() % engine.blocks;
  }
  const std::size_t live = grid.cooperative ? engine.blocks : 1;
  const unsigned warps = (engine.n + 31) / 32;
  if (engine.threads.size() < live * engine.n) engine.threads.resize(live * engine.n);
  if (!engine.async.empty()) engine.async.resize(engine.threads.size());
  if (engine.warps.size() < live * warps) engine.warps.resize(live * warps);
  engine.live.resize(live);
  while (engine.shared.size() < live) engine.shared.push_back(std::make_unique<Region>());
  for (std::size_t i = 0; i < live; ++i) {
    Block& b = engine.live[i];
    b.threads = &engine.threads[i * engine.n];
    b.warps = &engine.warps[i * warps];
    b.shared = engine.shared[i].get();
    if (grid.shared && !b.shared->base) *b.shared = map_region(shared_max, 128);
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned lanes = std::min(32u, engine.n - w * 32);
      b.warps[w].threads = &b.threads[w * 32];
      b.warps[w].lanes = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
    }
    unsigned t = 0;
    for (unsigned z = 0; z < block.z; ++z)
      for (unsigned y = 0; y < block.y; ++y)
        for (unsigned x = 0; x < block.x; ++x, ++t) {
          Thread& thread = b.threads[t];
          thread.block = &b;
          thread.warp = &b.warps[t / 32];
          thread.lane = t % 32;
          thread.index = {x, y, z};
        }
  }
  order_threads();
  blockDim = grid.block;
  gridDim = grid.grid;
  set_up(live);
}

void check_tails() {
  if (engine.grid->shared)
    for (const Block& b : engine.live)
      if (!intact(*b.shared)) {
        engine.current = &b.threads[0];
        say("a write past the end of the block's " + std::to_string(engine.grid->shared) + " bytes of shared memory");
        leave(cudaErrorIllegalAddress);
      }
}

// --- who is next ------------------------------------------------------------------------------------------------------
void append(Thread*& first, Thread*& last, Thread* t) {
  t->next = nullptr;
  t->wait = Wait::no;
  (last ? last->next : first) = t;
  last = t;
}

void make_ready(Thread* first, Thread* last, bool front) {
  if (!first) return;
  engine.spins = 0;
  if (!engine.ready) {
    engine.ready = first, engine.ready_last = last;
  } else if (front) {
    last->next = engine.ready;
    engine.ready = first;
  } else {
    engine.ready_last->next = first;
    engine.ready_last = last;
  }
}

Thread* begin_next() {
  const std::size_t i = engine.begun++;
  Block& b = engine.live[i / engine.n];
  Thread* const t = &b.threads[engine.begin[i % engine.n]];
  engine.spins = 0;
  if (!engine.async.empty()) {
    AsyncCopies& a = engine.async[static_cast<std::size_t>(t - engine.threads.data())];
    a.copies.clear();
    a.closed = 0;
  }
  t->fiber = nullptr;
  t->done = false;
  t->wait = Wait::no;
  return t;
}

// The next thread to run, or null if all are done. `others`: prefer a thread that has not started.
TENON_SIMT_INLINE Thread* choose(bool others) {
  for (;;) {
    const bool more = engine.begun < engine.to_begin;
    if (more && (!engine.ready || engine.breadth || others || (engine.random && (draw() & 1)))) return begin_next();
    if (Thread* const t = engine.ready) {
      engine.ready = t->next;
      if (!engine.ready) engine.ready_last = nullptr;
      return t;
    }
    if (engine.alive > 0) {
      std::string text = "deadlock: " + std::to_string(engine.alive) +
                         (engine.alive == 1 ? " thread waits" : " threads wait") + " and no other is left to come" +
                         who_waits();
      engine.current = nullptr;
      say(std::move(text));
      leave(cudaErrorLaunchTimeout);
    }
    check_tails();
    if (engine.next_block >= engine.blocks) return nullptr;
    set_up(1);
  }
}

TENON_SIMT_INLINE void set_current(Thread* t) {
  engine.current = t;
  threadIdx = t->index;
  blockIdx = t->block->index;
}

// Suspends the current thread. Others run until it has been made ready and its turn comes.
TENON_SIMT_INLINE void suspend(bool others = false) {
  Thread* const me = engine.current;
  Thread* const t = choose(others);
  if (t == me) return;
  Fiber* to = t->fiber;
  if (!to) {
    to = take_fiber();
    engine.handed = t;
  }
  jump(me->fiber, to);
  set_current(me);
}

// --- barriers and collectives -----------------------------------------------------------------------------------------
unsigned slot_of(const Block& b) { return static_cast<unsigned>(&b - engine.live.data()); }

void release_barrier(Block& b) {
  if (observer) observer->barrier(slot_of(b));
  b.result = {b.yes, b.arrived};
  b.arrived = b.yes = 0;
  b.first = nullptr;
  if (engine.random) shuffle(engine.order);
  Thread *first = nullptr, *last = nullptr;
  for (unsigned i = 0; i < engine.n; ++i) {
    Thread* const t = &b.threads[engine.order[i]];
    if (t->wait == Wait::barrier && !t->done) append(first, last, t);
  }
  make_ready(first, last, engine.random ? draw() & 1 : !engine.breadth);
}

void release_grid() {
  if (observer) observer->grid_barrier();
  engine.at_grid = 0;
  if (engine.random) shuffle(engine.order);
  Thread *first = nullptr, *last = nullptr;
  for (Block& b : engine.live)
    for (unsigned i = 0; i < engine.n; ++i) {
      Thread* const t = &b.threads[engine.order[i]];
      if (t->wait == Wait::grid && !t->done) append(first, last, t);
    }
  make_ready(first, last, false);
}

// Whether all lanes of `mask` that have not returned have arrived. Fails the kernel if they are in different calls.
bool complete(Warp& w, unsigned mask) {
  const unsigned members = mask & w.alive;
  if ((w.waiting & members) != members) return false;
  for (unsigned l = 0; l < 32; ++l)
    if ((members >> l & 1u) && w.threads[l].mask != mask) return false;  // it waits in another collective first
  const unsigned some = static_cast<unsigned>(std::countr_zero(members));
  const Thread& t = w.threads[some];
  for (unsigned l = some; l < 32; ++l) {
    if (!(members >> l & 1u)) continue;
    const Thread& o = w.threads[l];
    if (!same(o.what, t.what) || (t.aligned && !same(o.site, t.site))) {
      char text[300];
      std::snprintf(text, sizeof(text),
                    "the lanes of a warp are in different calls: lane %u in %s at %s with mask %08x, "
                    "lane %u in %s at %s with mask %08x",
                    some, t.what, text_of(t.site).c_str(), t.mask, l, o.what, text_of(o.site).c_str(), o.mask);
      say(text);
      leave(cudaErrorLaunchFailure);
    }
  }
  if (t.aligned && members != 0xffffffffu) {
    say(std::string(t.what) + " at " + text_of(t.site) + ": expected all 32 lanes of the warp");
    leave(cudaErrorLaunchFailure);
  }
  return true;
}

void finish_collective(Warp& w, unsigned mask, Combine combine) {
  const unsigned members = mask & w.alive;
  void* payloads[32] = {};
  for (unsigned l = 0; l < 32; ++l)
    if (members >> l & 1u) payloads[l] = w.threads[l].payload;
  if (combine) combine(payloads, members);
  w.waiting &= ~members;
  if (observer) {
    const Block& b = *w.threads->block;
    observer->collective(slot_of(b), static_cast<unsigned>(&w - b.warps), members, members == w.alive);
  }
  Thread *first = nullptr, *last = nullptr;
  const bool backwards = options().threads == Order::reverse || (engine.random && (draw() & 1));
  const unsigned from = engine.random ? static_cast<unsigned>(draw() & 31) : 0;
  for (unsigned i = 0; i < 32; ++i) {
    const unsigned l = ((backwards ? 31 - i : i) + from) & 31u;
    if (members >> l & 1u) append(first, last, &w.threads[l]);
  }
  make_ready(first, last, engine.random ? draw() & 1 : !engine.breadth);
}

void thread_returns(Thread* t) {
  Block& b = *t->block;
  Warp& w = *t->warp;
  t->done = true;
  t->fiber = nullptr;
  engine.spins = 0;
  --b.alive;
  --engine.alive;
  w.alive &= ~(1u << t->lane);
  if (b.arrived > 0 && b.arrived == b.alive) release_barrier(b);
  if (engine.at_grid > 0 && engine.at_grid == engine.alive) release_grid();
  if (unsigned waiting = w.waiting) {  // a collective may have waited only for this lane
    while (waiting) {
      const Thread& o = w.threads[std::countr_zero(waiting)];
      const unsigned members = o.mask & w.alive;
      waiting &= ~(members | 1u << o.lane);
      if (complete(w, o.mask)) finish_collective(w, o.mask, o.combine);
    }
  }
}

void run_thread(Thread* t) {
  t->fiber = engine.running;
  set_current(t);
  bool threw = false;
  try {
    tracing = observer != nullptr;
    engine.grid->call.invoke(engine.grid->call.bound);
    tracing = false;
  } catch (const std::exception& e) {
    threw = true;
    say(std::string("an exception: ") + e.what());
  } catch (...) {
    threw = true;
    say("an exception of an unknown type");
  }
  tracing = false;
  if (threw) leave(cudaErrorLaunchFailure);
  thread_returns(t);
}

// The main loop of every fiber.
void work() {
  Fiber* const me = engine.running;
  for (;;) {
    Thread* t = engine.handed;
    engine.handed = nullptr;
    if (!t) t = choose(false);
    if (t && !t->fiber) {
      run_thread(t);
      continue;
    }
    engine.idle.push_back(me);
    jump(me, t ? t->fiber : &engine.host);
  }
}

// --- faults of the processor --------------------------------------------------------------------------------------------
struct sigaction before[NSIG];

// Inside a kernel: ends the kernel as a failure. Elsewhere: reports an access to device memory and restores the
// previous handler.
void on_signal(int signal, siginfo_t* info, void*) {
  if (engine.active && engine.running != &engine.host) {
    tracing = false;
    engine.signal = signal;
    engine.bad_address = info->si_code == SI_KERNEL ? nullptr : info->si_addr;
    engine.misaligned = info->si_code == SI_KERNEL || (signal == SIGBUS && info->si_code == BUS_ADRALN);
    jump(engine.running, &engine.host);
  }
  if (signal == SIGSEGV && place_of(info->si_addr).where == Where::device) {
    const std::string text = "simt: the host touches device memory: " + describe_address(info->si_addr) + "\n";
    if (write(2, text.data(), text.size()) < 0) std::abort();
  }
  sigaction(signal, &before[signal], nullptr);
}

// Called before each grid, because others, such as Catch2, install their handlers in between.
void install_handlers() {
  struct sigaction ours {};
  ours.sa_sigaction = on_signal;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    struct sigaction old {};
    sigaction(s, &ours, &old);
    if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_signal) before[s] = old;
  }
#if SIMT_ASAN
  static const bool called = (__asan_set_error_report_callback([](const char*) {
                                if (engine.active && engine.grid) std::fprintf(stderr, "simt: in %s\n", here().c_str());
                              }),
                              true);
  (void)called;
#endif
  // The handler needs another stack, because the thread's stack may have overflowed.
  stack_t now{};
  if (sigaltstack(nullptr, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return;
  constexpr std::size_t size = 64 << 10;
  struct Stack {
    std::unique_ptr<char[]> memory = std::make_unique<char[]>(size);
    ~Stack() {
      stack_t set{};
      if (sigaltstack(nullptr, &set) != 0 || set.ss_sp != memory.get()) return;
      set.ss_flags = SS_DISABLE;
      sigaltstack(&set, nullptr);
    }
  };
  thread_local Stack stack;
  now = {};
  now.ss_sp = stack.memory.get();
  now.ss_size = size;
  sigaltstack(&now, nullptr);
}

// Turns the data of the signal handler into a failure, on the host's stack.
void explain_signal() {
  const char* const address = static_cast<const char*>(engine.bad_address);
  cudaError_t error = cudaErrorIllegalAddress;
  std::string text;
  if (engine.signal == SIGFPE) {
    error = cudaErrorLaunchFailure;
    text = "an integer divided by zero";
  } else if (engine.signal == SIGILL) {
    error = cudaErrorIllegalInstruction;
    text = "an illegal instruction";
  } else if (engine.misaligned) {
    error = cudaErrorMisalignedAddress;
    text = "an access that is not aligned, or to an address that cannot be";
  } else {
    text = "an access to " + describe_address(address);
    for (const auto& f : engine.fibers)
      if (address >= f->mapping - guard_size && address < f->mapping) {
        error = cudaErrorHardwareStackError;
        text = "the stack of an emulated thread, " + std::to_string(stack_size >> 10) + " KiB, is full";
      }
    for (const auto& r : engine.shared)
      if (r->base && address >= r->base && address < r->base + r->mapped)
        text = address < r->data
                   ? "an access in front of shared memory"
                   : "an access " + std::to_string(address - r->data - static_cast<long>(r->size)) +
                         " bytes past the end of the block's " + std::to_string(r->size) + " bytes of shared memory";
  }
  engine.failure = {error, here() + ": " + text};
}

Thread* thread_in(const char* what) {
  if (!engine.active) throw std::logic_error(std::string("simt: ") + what + " outside of a kernel");
  return engine.current;
}

}  // namespace

std::string text_of(const Site& s) {
  const char* const slash = std::strrchr(s.file, '/');
  return std::string(slash ? slash + 1 : s.file) + ":" + std::to_string(s.line);
}

std::string text_of(dim3 v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

Failure run_grid(const Grid& grid) {
  install_handlers();
  if (observer) observer->grid_begins(grid);
  prepare(grid);
  engine.active = true;
  engine.handed = nullptr;
  engine.running = &engine.host;
  jump(&engine.host, take_fiber());
  engine.active = false;
  if (observer) observer->grid_ends();
  if (engine.signal) explain_signal();
  if (engine.failure.error == cudaSuccess) {
    if (std::string text = overrun(); !text.empty()) {
      engine.current = nullptr;
      engine.failure = {cudaErrorIllegalAddress, here() + ": " + text};
    }
  } else {
    renew_fibers();
  }
  engine.current = nullptr;
  return std::move(engine.failure);
}

// --- what kernels call --------------------------------------------------------------------------------------------------
bool in_kernel() { return engine.active; }

Running running() {
  const Thread& t = *engine.current;
  return {slot_of(*t.block), static_cast<unsigned>(&t - t.block->threads), static_cast<const char*>(t.fiber->mapping),
          stack_size};
}

void say(std::string words) { engine.words = std::move(words); }
void fail_kernel(cudaError_t error) {
  const Aside aside;
  thread_in("a failure");
  leave(error);
}

AsyncCopies& async_copies() {
  Thread* const t = thread_in("cp.async");
  if (engine.async.empty()) engine.async.resize(engine.threads.size());
  return engine.async[static_cast<std::size_t>(t - engine.threads.data())];
}

bool in_shared(const void* p, std::size_t size) {
  return engine.grid->shared && thread_in("cp.async")->block->shared->holds(p, size);
}
unsigned lane_index() { return thread_in("a lane's index")->lane; }
unsigned warp_lanes() { return thread_in("__activemask")->warp->alive; }

void kernel_fault(cudaError_t error, const char* text, Site site) {
  const Aside aside;
  thread_in(text);
  say(std::string(text) + " at " + text_of(site));
  leave(error);
}

void check_aligned(const void* pointer, std::size_t alignment, Site site) {
  if (alignment & (alignment - 1)) return;
  if (reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0) return;
  const Aside aside;
  thread_in("an access");
  say("an access of " + std::to_string(alignment) + " bytes at " + text_of(site) +
      " to an address that is not a multiple of them: " + describe_address(pointer));
  leave(cudaErrorMisalignedAddress);
}

BarrierCount block_barrier(const char* what, bool predicate, Site site) {
  const Aside aside;
  Thread* const t = thread_in(what);
  Block& b = *t->block;
  if (!b.first) {
    b.first = t;
  } else if (!same(b.first->site, site) || !same(b.first->what, what)) {
    say(std::string("divergent barrier: this thread is in ") + what + " at " + text_of(site) + ", thread " +
        simt::text_of(dim3(b.first->index)) + " in " + b.first->what + " at " + text_of(b.first->site));
    leave(cudaErrorLaunchFailure);
  }
  t->wait = Wait::barrier;
  t->what = what;
  t->site = site;
  ++b.arrived;
  b.yes += predicate;
  if (b.arrived == b.alive) release_barrier(b);
  suspend();
  return b.result;
}

void grid_barrier(Site site) {
  const Aside aside;
  Thread* const t = thread_in("a grid barrier");
  if (!engine.grid->cooperative) {
    say("a grid barrier at " + text_of(site) + " in a launch that is not cooperative");
    leave(cudaErrorLaunchFailure);
  }
  t->wait = Wait::grid;
  t->what = "a grid barrier";
  t->site = site;
  if (++engine.at_grid == engine.alive) release_grid();
  suspend();
}

void warp_collective(const char* what, unsigned mask, void* payload, Combine combine, Site site, bool aligned) {
  const Aside aside;
  Thread* const t = thread_in(what);
  if (!(mask >> t->lane & 1u)) {
    char text[200];
    std::snprintf(text, sizeof(text), "%s at %s: lane %u calls with mask %08x, which does not name it", what,
                  text_of(site).c_str(), t->lane, mask);
    say(text);
    leave(cudaErrorLaunchFailure);
  }
  Warp& w = *t->warp;
  t->wait = Wait::warp;
  t->what = what;
  t->mask = mask;
  t->payload = payload;
  t->combine = combine;
  t->site = site;
  t->aligned = aligned;
  w.waiting |= 1u << t->lane;
  if (complete(w, mask)) finish_collective(w, mask, combine);
  suspend();
}

void combine_shuffle(void* const* payloads, unsigned lanes) {
  std::uint64_t values[32];
  for (unsigned l = 0; l < 32; ++l)
    if (lanes >> l & 1u) values[l] = static_cast<Shuffle*>(payloads[l])->value;
  for (unsigned l = 0; l < 32; ++l) {
    if (!(lanes >> l & 1u)) continue;
    Shuffle& s = *static_cast<Shuffle*>(payloads[l]);
    if (!(lanes >> s.from & 1u)) {
      const Warp& w = *engine.current->warp;
      const char* const why = !(w.lanes >> s.from & 1u)   ? "is outside of the block"
                              : !(w.alive >> s.from & 1u) ? "has returned"
                                                          : "is not in the mask";
      say("a shuffle at " + text_of(s.site) + ": lane " + std::to_string(l) + " reads lane " + std::to_string(s.from) +
          ", which " + why);
      leave(cudaErrorLaunchFailure);
    }
    s.value = values[s.from];
  }
}

void yield() {
  const Aside aside;
  Thread* const t = thread_in("a wait");
  if (++engine.spins > 1000000 + 1000 * static_cast<std::size_t>(engine.alive)) {
    say("all threads wait in loops, and nothing changes");
    leave(cudaErrorLaunchTimeout);
  }
  t->next = nullptr;
  (engine.ready_last ? engine.ready_last->next : engine.ready) = t;
  engine.ready_last = t;
  suspend(true);
}

void* shared_memory(std::size_t bytes, std::size_t alignment, Site site) {
  const Aside aside;
  Thread* const t = thread_in("shared memory");
  if (bytes > engine.grid->shared) {
    say("shared memory at " + text_of(site) + ": the kernel takes " + std::to_string(bytes) +
        " bytes, the launch gave " + std::to_string(engine.grid->shared));
    leave(cudaErrorIllegalAddress);
  }
  if (alignment > 128) {
    say("shared memory at " + text_of(site) + ": expected an alignment up to 128, got " + std::to_string(alignment));
    leave(cudaErrorMisalignedAddress);
  }
  return t->block->shared->data;
}

}  // namespace simt
