// Cuda: the device whose kernels run on an NVIDIA GPU. Here it is a handle, and none of CUDA's headers is needed: a unit
// compiled by g++ may hold one. What it does is in kernels/tenon/cuda/, for units that nvcc compiles.
//
// Work goes to one stream and is done in order. A function that hands numbers to the host (download, a loss's sums) waits
// for it; all others return at once. An error of a kernel is seen by the next function that waits.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "tenon/core/view.hpp"

namespace tenon::kernels {

/// How products of float matrices are computed. Sums, parameters and all that is stored are float in each.
enum class CudaMath {
  fp32,  // as float
  tf32,  // factors rounded to 10 bits of mantissa, on tensor cores
  bf16   // factors rounded to 7 bits of mantissa, on tensor cores
};

/// Why there is no CUDA device here, in one line with what to do; empty if there is one. Never throws.
template <class = void>
std::string cuda_problem();

struct CudaState;  // kernels/tenon/cuda/device.cuh

/// The GPU of that number among those that CUDA_VISIBLE_DEVICES leaves. Throws Error with cuda_problem().
template <class = void>
std::shared_ptr<CudaState> open_cuda(int ordinal);
template <class = void>
void* cuda_allocate(std::size_t bytes);  // zeroed; null for no bytes
template <class = void>
void cuda_free(void* p) noexcept;

/// Zeroed memory of the GPU that owns itself. The host may not look into it.
template <class T>
class CudaBuffer {
  static_assert(std::is_trivially_copyable_v<T>, "tenon::CudaBuffer<T>: T must be trivially copyable");

 public:
  CudaBuffer() = default;
  explicit CudaBuffer(std::size_t n) : data_(static_cast<T*>(cuda_allocate<>(n * sizeof(T)))), size_(n) {}
  CudaBuffer(CudaBuffer&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  CudaBuffer& operator=(CudaBuffer&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  ~CudaBuffer() {
    if (data_) cuda_free<>(data_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  Span<T> span() { return {data_, size_}; }
  Span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A stream of one GPU. Copies share it.
class Cuda {
 public:
  template <class T>
  using Buffer = CudaBuffer<T>;
  static constexpr bool host_memory = false;

  explicit Cuda(int ordinal = 0) : state_(open_cuda<>(ordinal)) {}
  explicit Cuda(CudaMath by, int ordinal = 0) : math(by), state_(open_cuda<>(ordinal)) {}

  CudaState& state() const { return *state_; }

  /// Of the Cpu; here scratch memory is measured when a model is made (kernels/tenon/cuda/launch.cuh).
  void reserve_scratch(std::size_t) {}

  CudaMath math = CudaMath::fp32;

 private:
  std::shared_ptr<CudaState> state_;
};

}  // namespace tenon::kernels

namespace tenon {
using kernels::Cuda;
using kernels::CudaMath;
}  // namespace tenon
