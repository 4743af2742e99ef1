// Device memory of the emulated device, and pinned memory: exact sizes, poisoned, guarded, separate from host memory.
// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

#include "engine.hpp"

#if SIMT_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace simt {
namespace {

constexpr std::size_t alignment_of_device = 256;
constexpr unsigned char tail = 0xa5;  // between the data and the guard

std::size_t page() {
  static const std::size_t size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}
std::size_t up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

struct Memory {
  std::map<const char*, Region> device, pinned;  // by first byte
  std::deque<Region> freed;                      // address space that is not reused for a while
  std::size_t device_bytes = 0;
  int access = 0, only = -1;  // only: the only device whose memory is accessible
  Counters counters{};
};
Memory& memory() {
  static Memory& m = *new Memory;  // never destroyed: static destructors may use it
  return m;
}

const Region* find(const std::map<const char*, Region>& regions, const void* pointer) {
  const char* const p = static_cast<const char*>(pointer);
  auto it = regions.upper_bound(p);
  if (it == regions.begin()) return nullptr;
  const Region& r = std::prev(it)->second;
  return p >= r.data && p < r.data + std::max<std::size_t>(r.size, 1) ? &r : nullptr;
}

void protect(const Region& r, bool open) {
  mprotect(r.base + page(), r.mapped - 2 * page(), open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void retire(Region r) {
  Memory& m = memory();
#if SIMT_ASAN
  __asan_unpoison_memory_region(r.base, r.mapped);
#endif
  madvise(r.base, r.mapped, MADV_DONTNEED);
  mprotect(r.base, r.mapped, PROT_NONE);
  m.freed.push_back(r);
  if (m.freed.size() > 256) {
    munmap(m.freed.front().base, m.freed.front().mapped);
    m.freed.pop_front();
  }
}

}  // namespace

Counters& count() { return memory().counters; }

Region map_region(std::size_t size, std::size_t alignment) {
  Region r;
  const std::size_t room = up(up(std::max<std::size_t>(size, 1), alignment), page());
  r.mapped = room + 2 * page();
  void* const p = mmap(nullptr, r.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return {};
  r.base = static_cast<char*>(p);
  mprotect(r.base + page(), room, PROT_READ | PROT_WRITE);
  r.data = r.base + page() + room - up(std::max<std::size_t>(size, 1), alignment);
  r.size = size;
  r.room = up(std::max<std::size_t>(size, 1), alignment);
  std::memset(r.data, 0xff, size);
  std::memset(r.data + size, tail, r.room - size);
#if SIMT_ASAN
  __asan_poison_memory_region(r.base, r.mapped);
  __asan_unpoison_memory_region(r.data, size);
#endif
  return r;
}

void unmap_region(Region& r) {
  if (!r.base) return;
#if SIMT_ASAN
  __asan_unpoison_memory_region(r.base, r.mapped);
#endif
  munmap(r.base, r.mapped);
  r = {};
}

void fit_region(Region& r, std::size_t size) {
  constexpr std::size_t alignment = 128;
  char* const end = r.base + r.mapped - page();
  char* const data = end - up(std::max<std::size_t>(size, 1), alignment);
#if SIMT_ASAN
  __asan_poison_memory_region(r.base, r.mapped);
  __asan_unpoison_memory_region(data, static_cast<std::size_t>(end - data));
#endif
  r.data = data, r.size = size, r.room = static_cast<std::size_t>(end - data);
  std::memset(data, 0xff, size);
  std::memset(data + size, tail, r.room - size);
#if SIMT_ASAN
  __asan_poison_memory_region(data + size, r.room - size);
#endif
}

bool intact(const Region& r) {
#if SIMT_ASAN
  (void)r;  // ASan has already reported such a write
  return true;
#else
  return std::all_of(r.data + r.size, r.data + r.room, [](char c) { return static_cast<unsigned char>(c) == tail; });
#endif
}

Place place_of(const void* pointer) {
  Memory& m = memory();
  if (const Region* r = find(m.device, pointer)) return {Where::device, r};
  if (const Region* r = find(m.pinned, pointer)) return {Where::pinned, r};
  return {Where::host, nullptr};
}

cudaError_t allocate_device(void** pointer, std::size_t size, int device) {
  Memory& m = memory();
  if (!pointer) return report(cudaErrorInvalidValue, "cudaMalloc: expected where to put the pointer, got null");
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  if (size > options().device_bytes || m.device_bytes + size > options().device_bytes)
    return report(cudaErrorMemoryAllocation, "cudaMalloc: expected at most " +
                                                 std::to_string(options().device_bytes - m.device_bytes) +
                                                 " bytes, got " + std::to_string(size));
  Region r = map_region(size, alignment_of_device);
  r.device = device;
  if (!r.data) return report(cudaErrorMemoryAllocation, "cudaMalloc: this machine has no more memory");
  if (options().protect && m.access == 0) protect(r, false);
  m.device.emplace(r.data, r);
  if (observer) observer->allocated(r);
  m.device_bytes += size;
  ++m.counters.allocations;
  m.counters.allocated_bytes = m.device_bytes;
  *pointer = r.data;
  return cudaSuccess;
}

cudaError_t free_device(void* pointer) {
  Memory& m = memory();
  if (!pointer) return cudaSuccess;
  const auto it = m.device.find(static_cast<char*>(pointer));
  if (it == m.device.end())
    return report(cudaErrorInvalidValue,
                  "cudaFree: expected what cudaMalloc returned, got " + describe_address(pointer));
  const Region r = it->second;
  if (options().protect && m.access == 0) protect(r, true);
  const bool damaged = !intact(r);
  if (observer) observer->freed(r);
  m.device.erase(it);
  m.device_bytes -= r.size;
  m.counters.allocated_bytes = m.device_bytes;
  retire(r);
  return damaged ? report(cudaErrorIllegalAddress, "a write past the end of a device allocation of " +
                                                       std::to_string(r.size) + " bytes, found when it was freed")
                 : cudaSuccess;
}

cudaError_t allocate_pinned(void** pointer, std::size_t size) {
  Memory& m = memory();
  if (!pointer) return report(cudaErrorInvalidValue, "cudaMallocHost: expected where to put the pointer, got null");
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  const Region r = map_region(size, 64);
  if (!r.data) return report(cudaErrorMemoryAllocation, "cudaMallocHost: this machine has no more memory");
  m.pinned.emplace(r.data, r);
  ++m.counters.host_allocations;
  *pointer = r.data;
  return cudaSuccess;
}

cudaError_t free_pinned(void* pointer) {
  Memory& m = memory();
  if (!pointer) return cudaSuccess;
  const auto it = m.pinned.find(static_cast<char*>(pointer));
  if (it == m.pinned.end())
    return report(cudaErrorInvalidValue,
                  "cudaFreeHost: expected what cudaMallocHost returned, got " + describe_address(pointer));
  const Region r = it->second;
  m.pinned.erase(it);
  retire(r);
  return cudaSuccess;
}

std::string overrun() {
  for (const auto& [data, r] : memory().device)
    if ((memory().only < 0 || r.device == memory().only) && !intact(r)) {
      std::memset(r.data + r.size, tail, r.room - r.size);  // reported once
      return "a write past the end of a device allocation of " + std::to_string(r.size) + " bytes";
    }
  return {};
}

std::string describe_address(const void* pointer) {
  const Memory& m = memory();
  const char* const p = static_cast<const char*>(pointer);
  const auto near = [&](const Region& r, const char* what) -> std::string {
    if (!r.base || p < r.base || p >= r.base + r.mapped) return {};
    const std::string of = std::string(what) + " of " + std::to_string(r.size) + " bytes" +
                           (options().devices > 1 ? " of device " + std::to_string(r.device) : "");
    if (p < r.data) return std::to_string(r.data - p) + " bytes in front of " + of;
    if (p >= r.data + r.size)
      return std::to_string(p - r.data - static_cast<long>(r.size)) + " bytes past the end of " + of;
    return "byte " + std::to_string(p - r.data) + " of " + of;
  };
  for (const auto& [data, r] : m.device)
    if (auto text = near(r, "a device allocation"); !text.empty()) return text;
  for (const auto& [data, r] : m.pinned)
    if (auto text = near(r, "a pinned allocation"); !text.empty()) return text;
  for (auto r = m.freed.rbegin(); r != m.freed.rend(); ++r)
    if (auto text = near(*r, "a freed allocation"); !text.empty()) return text;
  if (!pointer) return "null";
  char text[64];
  std::snprintf(text, sizeof(text), "the host's address %p", pointer);
  return text;
}

// With several devices, each can access only its own memory.
DeviceAccess::DeviceAccess(int of) : device(of) {
  Memory& m = memory();
  if (m.access++ > 0) return;
  m.only = of;
  for (const auto& [data, r] : m.device) {
    const bool other = of >= 0 && r.device != of;
    if (options().protect ? !other : other) protect(r, options().protect);
  }
}
DeviceAccess::~DeviceAccess() {
  Memory& m = memory();
  if (--m.access > 0) return;
  m.only = -1;
  for (const auto& [data, r] : m.device) {
    const bool other = device >= 0 && r.device != device;
    if (options().protect ? !other : other) protect(r, !options().protect);
  }
}

}  // namespace simt
