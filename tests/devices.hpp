// Helpers for tests that are written once for all devices. Such a test is in tests/<folder>/<name>.hpp and uses the
// type `Device`, which the including file defines: Cpu in tests/<folder>/<name>.cpp, Cuda in tests/cuda/<name>.cu.
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/core/device.hpp>
#include <tenon/core/thread_pool.hpp>
#include <tenon/core/view.hpp>
#include <vector>

namespace tenon::tests {

/// The device that a test creates its models on. A Cpu gets `threads` threads.
template <class D>
D device(int threads = 1);
template <>
inline Cpu device<Cpu>(int threads) {
  return Cpu(threads);
}

/// Number of allocations of device memory so far. 0 for the Cpu, which has no separate memory.
template <class D>
long device_allocations() {
  return 0;
}

/// A problem size: `for_cpu` takes seconds on the Cpu, `for_others` is smaller because the device may be emulated.
template <class D>
constexpr int many(int for_cpu, int for_others) {
  return std::is_same_v<D, Cpu> ? for_cpu : for_others;
}

template <class D, class T>
std::vector<std::remove_const_t<T>> on_host(const D& dev, Span<T> span) {
  std::vector<std::remove_const_t<T>> v(span.size);
  download(dev, const_cast<const T*>(span.data), v.data(), v.size());
  return v;
}

template <class D, class T>
typename D::template Buffer<T> on_device(const D& dev, const std::vector<T>& v) {
  auto memory = allocate<T>(dev, v.size());
  upload(dev, v.data(), memory.data(), v.size());
  return memory;
}

/// get reads and put writes one value of device memory.
template <class D, class T>
std::remove_const_t<T> get(const D& dev, Span<T> span, std::size_t i) {
  std::remove_const_t<T> v;
  download(dev, const_cast<const T*>(span.data) + i, &v, 1);
  return v;
}
template <class D, class T>
void put(const D& dev, Span<T> span, std::size_t i, std::type_identity_t<T> v) {
  upload(dev, &v, span.data + i, 1);
}

}  // namespace tenon::tests
