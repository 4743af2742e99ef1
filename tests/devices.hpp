// What a test that is written once for all devices asks of one. Such a test stands in tests/<folder>/<name>.hpp and speaks
// of `Device`, which the file that includes it defines: Cpu in tests/<folder>/<name>.cpp, Cuda in tests/cuda/<name>.cu.
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/core/device.hpp>
#include <tenon/core/thread_pool.hpp>
#include <tenon/core/view.hpp>
#include <vector>

namespace tenon::tests {

/// The device that models of a test are made on; of a Cpu, with so many threads.
template <class D>
D device(int threads = 1);
template <>
inline Cpu device<Cpu>(int threads) {
  return cpu_with_threads(threads);
}

/// Allocations of the device's own memory so far; of the Cpu's there is none.
template <class D>
long device_allocations() {
  return 0;
}

/// How many: as many for the Cpu as are a matter of seconds, and fewer for a device that may be emulated.
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
  typename D::template Buffer<T> memory(v.size());
  upload(dev, v.data(), memory.data(), v.size());
  return memory;
}

/// One value of a device's memory, read and written.
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
