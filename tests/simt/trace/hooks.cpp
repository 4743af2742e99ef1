// The functions that code compiled with -fsanitize=thread calls at every load and store, instead of libtsan's. This
// file is compiled without the flag.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tracer.hpp"

namespace simt {
namespace trace {

Tracer::Tracer() {
  bytes_.emplace_back();  // index 0 means none
  atomics_.emplace_back();
  codes_.push_back(nullptr);
  names_.push_back("nowhere");
  history_.push_back({});
  observer = this;
}

Tracer& tracer() {
  static Tracer* const t = new Tracer;  // never destroyed
  return *t;
}

namespace {
// Creates the tracer before anything is allocated.
[[maybe_unused]] Tracer& made = tracer();

// Aside: functions of the standard library that the tracer calls may be instrumented but are not kernel code.
void seen(const void* at, std::size_t size, Access kind, const void* code) {
  if (!tracing) return;
  const Aside aside;
  tracer().access(at, size, kind, code);
}
}  // namespace
}  // namespace trace

void traced_access(const void* at, std::size_t size, bool write, bool atomic, const void* code) {
  trace::seen(at, size, atomic ? trace::Access::atomic : write ? trace::Access::write : trace::Access::read, code);
}

void traced_fence() {
  if (!tracing) return;
  const Aside aside;
  trace::tracer().fence();
}

}  // namespace simt

using simt::trace::Access;
using simt::trace::seen;

#define CALLER __builtin_return_address(0)
#define ACCESSES(size)                                                                            \
  void __tsan_read##size(void* at) { seen(at, size, Access::read, CALLER); }                      \
  void __tsan_write##size(void* at) { seen(at, size, Access::write, CALLER); }                    \
  void __tsan_unaligned_read##size(void* at) { seen(at, size, Access::read, CALLER); }            \
  void __tsan_unaligned_write##size(void* at) { seen(at, size, Access::write, CALLER); }          \
  void __tsan_volatile_read##size(void* at) { seen(at, size, Access::read, CALLER); }             \
  void __tsan_volatile_write##size(void* at) { seen(at, size, Access::write, CALLER); }           \
  void __tsan_unaligned_volatile_read##size(void* at) { seen(at, size, Access::read, CALLER); }   \
  void __tsan_unaligned_volatile_write##size(void* at) { seen(at, size, Access::write, CALLER); } \
  void __tsan_read_write##size(void* at) {                                                        \
    seen(at, size, Access::read, CALLER);                                                         \
    seen(at, size, Access::write, CALLER);                                                        \
  }                                                                                               \
  void __tsan_unaligned_read_write##size(void* at) {                                              \
    seen(at, size, Access::read, CALLER);                                                         \
    seen(at, size, Access::write, CALLER);                                                        \
  }

// std::atomic and __atomic_*, which the compiler replaces with calls.
#define ATOMICS(bits, T)                                                                       \
  T __tsan_atomic##bits##_load(const volatile T* at, int) {                                    \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER);                          \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                              \
  }                                                                                            \
  void __tsan_atomic##bits##_store(volatile T* at, T v, int) {                                 \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER);                          \
    __atomic_store_n(at, v, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                            \
  T __tsan_atomic##bits##_exchange(volatile T* at, T v, int) {                                 \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER);                          \
    return __atomic_exchange_n(at, v, __ATOMIC_SEQ_CST);                                       \
  }                                                                                            \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* at, T* old, T v, int, int) {   \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER);                          \
    return __atomic_compare_exchange_n(at, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                            \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* at, T* old, T v, int, int) {     \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER);                          \
    return __atomic_compare_exchange_n(at, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                            \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* at, T old, T v, int, int) {         \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER);                          \
    __atomic_compare_exchange_n(at, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);       \
    return old;                                                                                \
  }
#define FETCH(bits, T, name)                                          \
  T __tsan_atomic##bits##_fetch_##name(volatile T* at, T v, int) {    \
    seen(const_cast<const T*>(at), bits / 8, Access::atomic, CALLER); \
    return __atomic_fetch_##name(at, v, __ATOMIC_SEQ_CST);            \
  }
#define ALL(bits, T)  \
  ATOMICS(bits, T)    \
  FETCH(bits, T, add) \
  FETCH(bits, T, sub) \
  FETCH(bits, T, and) \
  FETCH(bits, T, or)  \
  FETCH(bits, T, xor) \
  FETCH(bits, T, nand)

extern "C" {
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
ALL(8, std::uint8_t)
ALL(16, std::uint16_t)
ALL(32, std::uint32_t)
ALL(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

void __tsan_init() {}
void __tsan_func_entry(void* from) {
  if (!simt::tracing) return;
  const simt::Aside aside;
  simt::trace::tracer().call(from);
}
void __tsan_func_exit() {
  if (!simt::tracing) return;
  const simt::Aside aside;
  simt::trace::tracer().returned();
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* at, std::size_t size) { seen(at, size, Access::read, CALLER); }
void __tsan_write_range(void* at, std::size_t size) { seen(at, size, Access::write, CALLER); }

// The compiler does not instrument its own calls of these functions, so the program is linked with --wrap.
void* __real_memcpy(void* to, const void* from, std::size_t size);
void* __real_memmove(void* to, const void* from, std::size_t size);
void* __real_memset(void* to, int value, std::size_t size);
void* __wrap_memcpy(void* to, const void* from, std::size_t size) {
  seen(from, size, Access::read, CALLER);
  seen(to, size, Access::write, CALLER);
  return __real_memcpy(to, from, size);
}
void* __wrap_memmove(void* to, const void* from, std::size_t size) {
  seen(from, size, Access::read, CALLER);
  seen(to, size, Access::write, CALLER);
  return __real_memmove(to, from, size);
}
void* __wrap_memset(void* to, int value, std::size_t size) {
  seen(to, size, Access::write, CALLER);
  return __real_memset(to, value, size);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t size) {
  seen(from, size, Access::read, CALLER);
  seen(to, size, Access::write, CALLER);
  return std::memcpy(to, from, size);
}
void* __tsan_memmove(void* to, const void* from, std::size_t size) {
  seen(from, size, Access::read, CALLER);
  seen(to, size, Access::write, CALLER);
  return std::memmove(to, from, size);
}
void* __tsan_memset(void* to, int value, std::size_t size) {
  seen(to, size, Access::write, CALLER);
  return std::memset(to, value, size);
}
}
