// Memory of an NVIDIA GPU as the host sees it: an owner of it, and the pointer that kernels take. No CUDA headers; the
// functions that are only declared are in kernels/tenon/cuda/device.cuh.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "tenon/core/view.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Throws the Error for a CudaPointer that the host has dereferenced.
template <class = void>
void cuda_pointer_on_host();

/// A pointer into memory of a GPU, the type that kernels take. Only kernels can dereference it, because a number that the
/// host reads would become a constant of a recorded step. On the host, dereferencing throws Error.
template <class T>
class CudaPointer {
 public:
  CudaPointer() = default;
  TENON_HD constexpr explicit CudaPointer(T* p) : p_(p) {}

  TENON_HD T& operator*() const { return *followed(); }
  TENON_HD T* operator->() const { return followed(); }
  TENON_HD constexpr T* get() const { return p_; }  // an address of the GPU: for copies

 private:
  TENON_HD T* followed() const {
#if !defined(__CUDA_ARCH__)
    cuda_pointer_on_host<>();
#endif
    return p_;
  }

  T* p_ = nullptr;
};

/// Zeroed memory of the GPU `gpu`; null for 0 bytes. If `gpu` is -1, the calling thread's current GPU is used, and `gpu` is
/// set to its number.
template <class = void>
void* cuda_allocate(std::size_t bytes, int& gpu);
template <class = void>
void cuda_free(void* p, int gpu) noexcept;

/// An owner of zeroed memory of a GPU. The host must not read or write it.
template <class T>
class CudaBuffer {
  static_assert(std::is_trivially_copyable_v<T>, "tenon::CudaBuffer<T>: T must be trivially copyable");

 public:
  CudaBuffer() = default;
  explicit CudaBuffer(std::size_t n, int gpu = -1)
      : data_(static_cast<T*>(cuda_allocate<>(n * sizeof(T), gpu))), size_(n), gpu_(gpu) {}
  CudaBuffer(CudaBuffer&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), gpu_(o.gpu_) {}
  CudaBuffer& operator=(CudaBuffer&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(gpu_, o.gpu_);
    return *this;
  }
  ~CudaBuffer() {
    if (data_) cuda_free<>(data_, gpu_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  int gpu() const { return gpu_; }  // -1: no GPU, because there is no memory
  Span<T> span() { return {data_, size_}; }
  Span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  int gpu_ = -1;
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
