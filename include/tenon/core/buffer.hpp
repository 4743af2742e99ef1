// Buffer: an owner of zeroed, 64-byte aligned memory. Its size is fixed at construction. The constructor throws Error if
// the buffer exceeds the memory that this process may use.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

#include "tenon/core/resources.hpp"
#include "tenon/core/view.hpp"

namespace tenon {

inline constexpr std::size_t buffer_alignment = 64;  // one cache line and one vector of the widest kind

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>, "tenon::Buffer<T>: T must be trivially copyable");

 public:
  Buffer() = default;
  explicit Buffer(std::size_t n) : size_(n) {
    if (n == 0) return;
    if (n > std::numeric_limits<std::size_t>::max() / 2 / sizeof(T)) throw std::bad_alloc();
    require_memory(n * sizeof(T), "memory");
    data_ = static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{buffer_alignment}));
    std::memset(static_cast<void*>(data_), 0, n * sizeof(T));
  }
  Buffer(Buffer&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  Buffer& operator=(Buffer&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  ~Buffer() {
    if (data_) ::operator delete (data_, std::align_val_t{buffer_alignment});
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  Span<T> span() { return {data_, size_}; }
  Span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tenon
