// Earlier accesses to each cell of memory, and whether anything orders them before the current one.
// SPDX-License-Identifier: MIT
#include <link.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "simt/device.hpp"
#include "tracer.hpp"

namespace simt::trace {
namespace {

constexpr std::size_t max_found = 1000;

const char* word(Access a) { return a == Access::read ? "read" : a == Access::write ? "write" : "atomic"; }

// Whether p points to the program's constant data.
bool is_constant(const void* p) {
  struct Asked {
    std::uintptr_t at;
    bool found;
  } asked{reinterpret_cast<std::uintptr_t>(p), false};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        Asked& a = *static_cast<Asked*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& h = info->dlpi_phdr[i];
          const bool constant = (h.p_type == PT_LOAD && !(h.p_flags & PF_W)) || h.p_type == PT_GNU_RELRO;
          if (constant && a.at - (info->dlpi_addr + h.p_vaddr) < h.p_memsz) a.found = true;
        }
        return a.found ? 1 : 0;
      },
      &asked);
  return asked.found;
}

template <class T>
bool lies_in(const void* p, const T& v) {
  return reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(&v) < sizeof(T);
}

unsigned product_of(dim3 d) { return d.x * d.y * d.z; }

}  // namespace

// --- places in the code -------------------------------------------------------------------------------------------------
void Tracer::call(const void* code) {
  const Running r = running();
  std::vector<std::uint32_t>& calls = slots_[r.slot].calls[r.thread];
  const std::uint64_t from = (calls.empty() ? 0 : calls.back()) ^ reinterpret_cast<std::uintptr_t>(code);
  calls.push_back(static_cast<std::uint32_t>((from * 0x9e3779b97f4a7c15u) >> 32));
}
void Tracer::returned() {
  const Running r = running();
  std::vector<std::uint32_t>& calls = slots_[r.slot].calls[r.thread];
  if (!calls.empty()) calls.pop_back();
}

Site Tracer::site_of(const void* code) {
  const std::vector<std::uint32_t>& calls = slot_->calls[thread_];
  const std::uint64_t key = reinterpret_cast<std::uintptr_t>(code) * 0x9e3779b97f4a7c15u ^
                            static_cast<std::uint64_t>(calls.empty() ? 0 : calls.back()) << 20;
  Near& near = near_[(key ^ key >> 32) % near_.size()];
  if (near.key == key && near.site) return near.site;
  const auto [it, is_new] = sites_.try_emplace(key, static_cast<Site>(codes_.size()));
  if (is_new) {
    if (codes_.size() + 1 >= max_sites) std::abort();
    codes_.push_back(code);
    names_.push_back(nullptr);
  }
  near = {key, it->second};
  return it->second;
}

Site Tracer::named_site(const char* name) {
  const auto [it, is_new] =
      sites_.try_emplace(reinterpret_cast<std::uintptr_t>(name), static_cast<Site>(codes_.size()));
  if (is_new) {
    codes_.push_back(nullptr);
    names_.push_back(name);
  }
  return it->second;
}

// --- order --------------------------------------------------------------------------------------------------------------
void Tracer::set_thread(unsigned slot, unsigned thread) {
  slot_ = &slots_[slot];
  warp_ = &slot_->warps[thread / 32];
  block_ = slot_->block;
  block_since_ = slot_->since;
  thread_ = thread;
  lane_ = thread % 32;
}

std::uint32_t Tracer::unordered_lanes(const Read& r) const {
  if (r.time < operation_.start) return happened_before(r.time) ? 0 : r.lanes;
  if (block_ == nobody) return 0;
  if (r.block != block_) {
    if (r.time < grid_since_) return 0;
    std::uint32_t lanes = r.lanes;
    if (!slot_->got.empty())
      for (unsigned l = 0; l < 32; ++l)
        if ((lanes >> l & 1u) && handed_on(r.block, r.warp() * 32 + l, r.time)) lanes &= ~(1u << l);
    return lanes;
  }
  if (r.time < block_since_) return 0;
  if (r.warp() != thread_ / 32) return r.lanes;
  if (r.time < warp_->all) return 0;
  std::uint32_t lanes = r.lanes & ~(1u << lane_);
  if (warp_->some)
    for (unsigned l = 0; l < 32; ++l)
      if ((lanes >> l & 1u) && r.time < (*warp_->known)[lane_][l]) lanes &= ~(1u << l);
  return lanes;
}

bool Tracer::ordered(const Write& w) const {
  if (w.time < operation_.start) return happened_before(w.time);
  if (block_ == nobody || (w.block == block_ && w.thread() == thread_)) return true;
  return unordered_lanes({w.time, w.block, 1u << w.thread() % 32, w.thread() / 32 << 22}) == 0;
}

void Tracer::fence() {
  const Running r = running();
  set_thread(r.slot, r.thread);
  Slot& s = *slot_;
  s.fenced = true;
  if (s.fences.size() <= thread_) s.fences.resize(product_of(grid_->block));
  s.fences[thread_] = ++now_;
  for (Got& g : s.got)
    if (g.thread == thread_) g.fenced = true;
}

// An atomic at `at`: releases what earlier fences of the block cover, and takes what other blocks released there.
void Tracer::hand_on(const char* at) {
  Slot& s = *slot_;
  const auto it = known_at_.find(at);
  if (it != known_at_.end()) s.got.push_back({it->second, now_, thread_});
  if (!s.fenced) return;
  auto mine = std::make_shared<Released>(s.released);
  mine->before.resize(s.fences.size());
  mine->before[thread_] = std::max(mine->before[thread_], s.fences[thread_]);
  if (s.fences[thread_] > s.since) mine->all = std::max(mine->all, s.since);
  auto all = it == known_at_.end() ? std::make_shared<Knowledge>() : std::make_shared<Knowledge>(*it->second);
  auto& of_block = (*all)[block_];
  if (of_block) {
    mine->all = std::max(mine->all, of_block->all);
    for (std::size_t i = 0; i < of_block->before.size(); ++i)
      mine->before[i] = std::max(mine->before[i], of_block->before[i]);
  }
  of_block = std::move(mine);
  known_at_[at] = std::move(all);
}

bool Tracer::handed_on(std::uint32_t block, unsigned thread, Time time) const {
  const Time own = thread_ < slot_->fences.size() ? slot_->fences[thread_] : 0;
  for (const Got& g : slot_->got) {
    if (!(g.shared || g.thread == thread_) || !(g.fenced || own > g.at)) continue;
    const auto it = g.of->find(block);
    if (it == g.of->end()) continue;
    if (time < it->second->all || (thread < it->second->before.size() && time < it->second->before[thread]))
      return true;
  }
  return false;
}

void Tracer::add_reader(Read (&reads)[2]) {
  const Read mine{now_, block_, 1u << lane_, thread_ / 32 << 22 | site_};
  Read& first = reads[0];
  if (first.time == now_ && first.block == block_ && first.warp() == mine.warp()) {
    first.lanes |= mine.lanes;
    return;
  }
  Read* room = nullptr;
  for (Read& r : reads) {
    if (r.time == 0) {
      if (!room) room = &r;
      continue;
    }
    const std::uint32_t left = unordered_lanes(r);
    if (left == 0) {
      r.time = 0;
      if (!room) room = &r;
    } else if (r.time >= operation_.start && r.block == block_ && r.warp() == mine.warp()) {
      r.lanes = left | mine.lanes;  // keeps the time of the first read
      return;
    }
  }
  if (room)
    *room = mine;
  else if (reads[0].block == reads[1].block && reads[0].block != block_)
    reads[1] = mine;
}

void Tracer::check_reads(const Read (&reads)[2], const char* other, Access kind, const char* at) {
  for (const Read& r : reads) {
    if (r.time == 0) continue;
    std::uint32_t lanes = unordered_lanes(r);
    if (lanes && r.block == block_ && r.warp() == thread_ / 32 && r.time >= operation_.start) lanes &= ~(1u << lane_);
    if (lanes) {
      const unsigned thread = r.warp() * 32 + static_cast<unsigned>(std::countr_zero(lanes));
      race(at, kind, other, r.time, r.block, thread, r.site());
    }
  }
}

// --- a cell -------------------------------------------------------------------------------------------------------------
void Tracer::touch_whole(Cell& c, unsigned full, Access kind, const char* at) {
  if (c.pending)
    find(Kind::not_waited_for, c.write.site(),
         std::string(word(kind)) + " at \1 of " + address(at) + " by " + who(operation_, block_, thread_) +
             ": cp.async at \2 by " + who(operation_, c.write.block, c.write.thread()) + " has not been waited for");
  else if (kind != Access::write && c.written != full)
    find(Kind::uninitialised, 0,
         std::string(word(kind)) + " at \1 of " + address(at) + " by " + who(operation_, block_, thread_) +
             ": nobody has written there");
  if (c.write.time && !ordered(c.write))
    race(at, kind, "write", c.write.time, c.write.block, c.write.thread(), c.write.site());
  if (kernel_ && !shared_ && c.write.time < operation_.start) {
    const std::uint64_t bytes = full == 0xf ? 4 : 1;
    if (kind == Access::write)
      kernel_->unique_written += bytes;
    else if (std::max(c.read[0].time, c.read[1].time) < operation_.start)
      kernel_->unique_read += bytes;
  }
  if (c.atomics && kind != Access::atomic) check_reads(atomics_[c.atomics].of, "atomic", kind, at);
  if (kind == Access::read) {
    add_reader(c.read);
    return;
  }
  check_reads(c.read, "read", kind, at);
  if (kind == Access::write) {
    c.write = {now_, block_, thread_ << 22 | site_};
    c.read[0] = c.read[1] = {};
    c.atomics = 0;
    c.written = static_cast<std::uint8_t>(full);
    c.pending = false;
  } else {
    if (!c.atomics) {
      c.atomics = static_cast<std::uint32_t>(atomics_.size());
      atomics_.emplace_back();
    }
    add_reader(atomics_[c.atomics].of);
  }
}

void Tracer::touch(Cell& c, unsigned mask, Access kind, const char* at) {
  if (mask == 0xf && !c.bytes) {
    touch_whole(c, mask, kind, at);
    return;
  }
  if (!c.bytes) {
    const Cell whole = c;
    c.bytes = static_cast<std::uint32_t>(bytes_.size());
    bytes_.emplace_back();
    for (unsigned i = 0; i < 4; ++i) {
      Cell& b = bytes_.back()[i] = whole;
      b.written = whole.written >> i & 1u;
      if (whole.atomics) {
        b.atomics = static_cast<std::uint32_t>(atomics_.size());
        atomics_.push_back(Atomics(atomics_[whole.atomics]));
      }
    }
  }
  std::array<Cell, 4>& bytes = bytes_[c.bytes];
  for (unsigned i = 0; i < 4; ++i)
    if (mask >> i & 1u) touch_whole(bytes[i], 1, kind, at);
}

Cell& Tracer::cell_of(Shadow& s, std::size_t i) {
  Page& p = s.pages[i / cells_of_page];
  if (!p.cells) {
    p.cells = std::make_unique<Cell[]>(cells_of_page);
    std::fill(p.cells.get(), p.cells.get() + cells_of_page, p.all);
  }
  return p.cells[i % cells_of_page];
}
Cell& Tracer::cell_of(SharedShadow& s, std::size_t i) {
  Cell& c = s.cells[i];
  if (s.born[i] != s.birth) {
    c = {};
    s.born[i] = s.birth;
  }
  return c;
}

template <class M, class F>
void Tracer::for_cells(M& memory, const char* at, std::size_t size, F f) {
  std::size_t from = static_cast<std::size_t>(at - memory.data);
  const std::size_t to = from + size;
  while (from < to) {
    const std::size_t in_cell = from % 4, n = std::min<std::size_t>(4 - in_cell, to - from);
    f(cell_of(memory, from / 4), ((1u << n) - 1) << in_cell, memory.data + from);
    from += n;
  }
}

// --- accesses -----------------------------------------------------------------------------------------------------------
Shadow* Tracer::shadow_of(const char* at) {
  if (last_shadow_ && static_cast<std::size_t>(at - last_shadow_->data) < last_shadow_->size) return last_shadow_;
  auto it = shadows_.upper_bound(at);
  if (it == shadows_.begin()) return nullptr;
  Shadow& s = std::prev(it)->second;
  if (static_cast<std::size_t>(at - s.data) >= s.size) return nullptr;
  return last_shadow_ = &s;
}

template <class M>
bool Tracer::in_bounds(const M& memory, const char* at, std::size_t& size, Access kind) {
  const std::size_t room = memory.size - static_cast<std::size_t>(at - memory.data);
  if (size <= room) return true;
  elsewhere(at + room, size - room, kind);
  size = room;
  return false;
}

void Tracer::access(const void* p, std::size_t size, Access kind, const void* code) {
  const char* const at = static_cast<const char*>(p);
  const Running r = running();
  if (static_cast<std::size_t>(at - r.stack) < r.stack_size) return;  // local memory
  set_thread(r.slot, r.thread);
  site_ = site_of(code);
  SharedShadow& shared = slot_->shared;
  if (kind == Access::atomic) hand_on(at);
  const auto touch_cell = [&](Cell& c, unsigned mask, const char* a) { touch(c, mask, kind, a); };
  if (static_cast<std::size_t>(at - shared.data) < shared.size) {
    shared_ = true;
    in_bounds(shared, at, size, kind);
    for_cells(shared, at, size, touch_cell);
  } else if (Shadow* const s = shadow_of(at)) {
    shared_ = false;
    in_bounds(*s, at, size, kind);
    for_cells(*s, at, size, touch_cell);
  } else {
    elsewhere(at, size, kind);
    return;
  }
  if (size <= 16) {
    ask(at, static_cast<unsigned>(size), kind, shared_, site_);
  } else {
    for (std::size_t i = 0; i < size; i += 4)
      ask(at + i, static_cast<unsigned>(std::min<std::size_t>(4, size - i)), kind, shared_, site_);
  }
}

void Tracer::elsewhere(const char* at, std::size_t size, Access kind) {
  if (lies_in(at, threadIdx) || lies_in(at, blockIdx) || lies_in(at, blockDim) || lies_in(at, gridDim)) return;
  if (grid_ && static_cast<std::size_t>(at - static_cast<const char*>(grid_->call.bound)) < grid_->call.size) return;
  if (kind == Access::read && is_constant(at)) return;
  const std::string what = std::to_string(size) + " bytes, ";
  const std::string by = " by " + who(operation_, block_, thread_) + ": ";
  for (unsigned i = 0; i < slots_used_; ++i) {
    const SharedShadow& s = slots_[i].shared;
    if (s.base && at >= s.base && at < s.end) {
      const bool own = &slots_[i] == slot_;
      find(Kind::out_of_bounds, 0,
           std::string(word(kind)) + " at \1 of " + what + (own ? "outside of the block's " : "in another block's ") +
               std::to_string(s.size) + " bytes of shared memory" + by.substr(0, by.size() - 2));
      return;
    }
  }
  const std::string description = describe_address(at);
  const bool near =
      description.find("device allocation") != description.npos || description.find("freed") != description.npos || !at;
  find(near ? Kind::out_of_bounds : Kind::foreign, 0,
       std::string(word(kind)) + " at \1 of " + what + description + by.substr(0, by.size() - 2));
}

// --- words --------------------------------------------------------------------------------------------------------------
std::string Tracer::address(const char* at) const {
  if (shared_) return "byte " + std::to_string(at - slot_->shared.data) + " of shared memory";
  if (last_shadow_ && static_cast<std::size_t>(at - last_shadow_->data) < last_shadow_->size)
    return "byte " + std::to_string(at - last_shadow_->data) + " of a device allocation of " +
           std::to_string(last_shadow_->size) + " bytes";
  return describe_address(at);
}

std::string Tracer::who(const Operation& op, std::uint32_t block, unsigned thread) const {
  if (block == nobody) return op.name;
  const unsigned x = op.grid.x, y = op.grid.y, tx = op.block.x, ty = op.block.y;
  return "block " + text_of(dim3(block % x, block / x % y, block / x / y)) + ", thread " +
         text_of(dim3(thread % tx, thread / tx % ty, thread / tx / ty));
}

void Tracer::race(const char* at, Access kind, const char* other, Time time, std::uint32_t block, unsigned thread,
                  Site site) {
  const bool same_grid = time >= operation_.start;
  const Operation& op = same_grid ? operation_ : operation_at(time);
  const Kind of = same_grid ? Kind::race : Kind::stream_race;
  const std::string again = same_grid || block == nobody ? "" : " of kernel " + std::string(op.name);
  find(of, site,
       std::string(same_grid ? "race" : "nothing orders two streams") + " on " + address(at) + ": " + word(kind) +
           " at \1 by " + who(operation_, block_, thread_) + ", and " + other + " at \2 by " + who(op, block, thread) +
           again);
}

void Tracer::find(Kind kind, Site other_site, std::string text) {
  const auto [it, is_new] =
      index_.try_emplace({static_cast<int>(kind), kernel_name_, site_, other_site}, found_.size());
  if (!is_new) {
    ++found_[it->second].times;
    return;
  }
  if (found_.size() >= max_found) {
    index_.erase(it);
    return;
  }
  found_.push_back({kind, kernel_name_, site_, other_site, std::move(text), 1});
}

// --- memory -------------------------------------------------------------------------------------------------------------
void Tracer::allocated(const Region& region) {
  Shadow s;
  s.data = region.data;
  s.size = region.size;
  s.pages.resize(region.size / (4 * cells_of_page) + 1);
  shadows_.insert_or_assign(region.data, std::move(s));
  last_shadow_ = nullptr;
}
void Tracer::freed(const Region& region) {
  shadows_.erase(region.data);
  last_shadow_ = nullptr;
}

// Calls f(cell, mask of its bytes, address) for each cell, or once for a whole page without cells.
template <class OfCell>
void Tracer::for_range(const void* p, std::size_t size, OfCell f) {
  const char* const at = static_cast<const char*>(p);
  Shadow* const s = shadow_of(at);
  if (!s || size == 0) return;
  shared_ = false;
  const std::size_t from = static_cast<std::size_t>(at - s->data), to = std::min(from + size, s->size);
  constexpr std::size_t page = 4 * cells_of_page;
  for (std::size_t i = from; i < to;) {
    Page& here = s->pages[i / page];
    if (!here.cells && i % page == 0 && (to - i >= page || to == s->size)) {
      f(here.all, 0xf, s->data + i);
      i += page;
    } else {
      const std::size_t n = std::min(4 - i % 4, to - i);
      f(cell_of(*s, i / 4), ((1u << n) - 1) << i % 4, s->data + i);
      i += n;
    }
  }
}

void Tracer::reads(const void* from, std::size_t size, const char* what) {
  block_ = nobody, thread_ = lane_ = 0, kernel_ = nullptr;
  site_ = named_site(what);
  for_range(from, size, [&](Cell& c, unsigned mask, const char* at) {
    if (c.bytes) {
      for (unsigned i = 0; i < 4; ++i)
        if (mask >> i & 1u) {
          Cell& b = bytes_[c.bytes][i];
          if (b.write.time && !ordered(b.write))
            race(at, Access::read, "write", b.write.time, b.write.block, b.write.thread(), b.write.site());
          add_reader(b.read);
        }
      return;
    }
    if (c.write.time && !ordered(c.write))
      race(at, Access::read, "write", c.write.time, c.write.block, c.write.thread(), c.write.site());
    add_reader(c.read);
  });
}

void Tracer::writes(const void* to, std::size_t size, const char* what) {
  block_ = nobody, thread_ = lane_ = 0, kernel_ = nullptr;
  site_ = named_site(what);
  if (after_everything_) forget_pages(to, size);  // no earlier access can race with it
  for_range(to, size, [&](Cell& c, unsigned mask, const char* at) { touch(c, mask, Access::write, at); });
}

// Resets whole pages to one cell without any accesses.
void Tracer::forget_pages(const void* p, std::size_t size) {
  Shadow* const s = shadow_of(static_cast<const char*>(p));
  if (!s) return;
  constexpr std::size_t page = 4 * cells_of_page;
  const std::size_t from = static_cast<std::size_t>(static_cast<const char*>(p) - s->data);
  const std::size_t to = std::min(from + size, s->size);
  for (std::size_t i = (from + page - 1) / page; (i + 1) * page <= to; ++i) {
    s->pages[i].cells.reset();
    s->pages[i].all = {};
  }
}

void Tracer::undefined(const void* at, std::size_t size) {
  forget_pages(at, size);
  for_range(at, size, [&](Cell& c, unsigned, const char*) { c = {}; });
}

// --- grids --------------------------------------------------------------------------------------------------------------
void Tracer::grid_begins(const Grid& grid) {
  grid_ = &grid;
  in_grid_ = true;
  operation_.grid = grid.grid;
  operation_.block = grid.block;
  operation_.name = grid.name ? grid.name : "without a name";
  history_.back() = operation_;
  kernel_name_ = operation_.name;
  grid_since_ = ++now_;
  slots_used_ = 0;
  known_at_.clear();
  KernelCounts& k = kernels_[{kernel_name_, grid.call.function}];
  k.name = kernel_name_;
  k.function = grid.call.function;
  ++k.launches;
  k.threads = std::max(k.threads, product_of(grid.block));
  k.shared = std::max(k.shared, grid.shared);
  kernel_ = &k;
}

void Tracer::block_begins(unsigned slot, std::uint64_t block, const Region* shared) {
  while (slots_.size() <= slot) slots_.emplace_back();
  Slot& s = slots_[slot];
  if (slot < slots_used_)
    for (Lanes& w : s.warps) flush(w);
  slots_used_ = std::max(slots_used_, slot + 1);
  const unsigned threads = product_of(grid_->block);
  s.block = static_cast<std::uint32_t>(block);
  s.fenced = false;
  s.fences.clear();
  s.released = {};
  s.got.clear();
  s.since = ++now_;
  s.warps.resize((threads + 31) / 32);
  for (Lanes& w : s.warps) {
    w.all = now_;
    w.some = false;
  }
  s.calls.resize(threads);
  for (auto& c : s.calls) c.clear();
  SharedShadow& m = s.shared;
  m.birth = now_;
  m.data = shared ? shared->data : nullptr;
  m.size = shared ? shared->size : 0;
  m.base = shared ? shared->base : nullptr;
  m.end = shared ? shared->base + shared->mapped : nullptr;
  if (m.cells.size() < (m.size + 3) / 4) {
    m.cells.resize((m.size + 3) / 4);
    m.born.resize(m.cells.size());
  }
}

void Tracer::barrier(unsigned slot) {
  Slot& s = slots_[slot];
  if (s.fenced) {  // what atomics release from here on
    s.released.before.resize(s.fences.size());
    for (std::size_t i = 0; i < s.fences.size(); ++i) {
      if (s.fences[i] > s.since) s.released.all = std::max(s.released.all, s.since);
      s.released.before[i] = std::max(s.released.before[i], s.fences[i]);
    }
  }
  s.since = ++now_;
  for (Got& g : s.got) g.shared = true;
  for (Lanes& w : s.warps) flush(w);
}

void Tracer::grid_barrier() {
  grid_since_ = ++now_;
  for (unsigned i = 0; i < slots_used_; ++i) {
    slots_[i].since = now_;
    for (Lanes& w : slots_[i].warps) flush(w);
  }
}

void Tracer::collective(unsigned slot, unsigned warp, unsigned lanes, bool all) {
  Slot& s = slots_[slot];
  Lanes& w = s.warps[warp];
  ++now_;
  if (all) flush(w);
  const unsigned threads = product_of(grid_->block) - 32 * warp;
  if (lanes == (threads >= 32 ? 0xffffffffu : (1u << threads) - 1)) {
    w.all = now_;
    return;
  }
  if (!w.known) w.known = std::make_unique<std::array<std::array<Time, 32>, 32>>();
  w.some = true;
  std::array<Time, 32> joined{};
  for (unsigned m = 0; m < 32; ++m)
    if (lanes >> m & 1u)
      for (unsigned l = 0; l < 32; ++l) joined[l] = std::max(joined[l], (*w.known)[m][l]);
  for (unsigned m = 0; m < 32; ++m)
    if (lanes >> m & 1u) joined[m] = now_;
  for (unsigned m = 0; m < 32; ++m)
    if (lanes >> m & 1u) (*w.known)[m] = joined;
}

void Tracer::grid_ends() {
  for (unsigned i = 0; i < slots_used_; ++i) {
    for (Lanes& w : slots_[i].warps) flush(w);
    slots_[i].shared.data = nullptr;
    slots_[i].shared.size = 0;
    slots_[i].shared.base = nullptr;
  }
  slots_used_ = 0;
  in_grid_ = false;
  grid_ = nullptr;
  kernel_ = nullptr;
  block_ = nobody;
  kernel_name_.clear();
}

// --- asynchronous copies, ldmatrix and mma -----------------------------------------------------------------------------
void Tracer::async_copy(const void* to, const void* from, unsigned size, unsigned bytes, const void* code) {
  if (bytes) access(from, bytes, Access::read, code);
  access(to, size, Access::write, code);
  SharedShadow& s = slot_->shared;
  for_cells(s, static_cast<const char*>(to), size, [&](Cell& c, unsigned, const char*) {
    if (c.bytes)
      for (Cell& b : bytes_[c.bytes]) b.pending = true;
    c.pending = true;
  });
}

void Tracer::async_arrived(const void* to, unsigned size) {
  const Running r = running();
  set_thread(r.slot, r.thread);
  for_cells(slot_->shared, static_cast<const char*>(to), size, [&](Cell& c, unsigned, const char*) {
    const auto arrive = [&](Cell& of) {
      of.pending = false;
      of.write = {now_, block_, thread_ << 22 | of.write.site()};
    };
    if (c.bytes)
      for (Cell& b : bytes_[c.bytes]) arrive(b);
    arrive(c);
  });
}

void Tracer::matrix_row(const void* row, const void* code) { access(row, 16, Access::read, code); }

void Tracer::product(const void* code) {
  const Running r = running();
  set_thread(r.slot, r.thread);
  if (counting && kernel_) ++kernel_->lines[site_of(code)].products;
}

}  // namespace simt::trace
