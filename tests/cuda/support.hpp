// Shared by the tests of the CUDA kernels: a device, memory on it, and every order in which the emulator (tests/simt)
// runs threads. Each file is compiled twice: by g++ with the emulator, and by nvcc for a machine with a GPU.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cuda/launch.cuh"
//
#include <string>
#include <vector>

#include "catch.hpp"
#include "devices.hpp"
#include "kernels/exact.hpp"
#include "kernels/ways.hpp"

namespace tenon::tests {

/// The device of this process. Throws without a GPU and without the emulator.
inline Cuda& cuda() {
  static Cuda dev;
  return dev;
}
template <>
inline Cuda device<Cuda>(int) {
  return cuda();
}
/// A GPU does not count allocations. There, each call that finds less free memory than ever before counts one.
template <>
inline long device_allocations<Cuda>() {
#if TENON_SIMT
  return static_cast<long>(simt::counters().allocations);
#else
  static std::size_t min = ~std::size_t{0};
  static long seen = 0;
  std::size_t available = 0, total = 0;
  kernels::detail::check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
  if (available < min) min = available, ++seen;
  return seen;
#endif
}

inline constexpr CudaMath maths[] = {CudaMath::fp32, CudaMath::tf32, CudaMath::bf16};

/// Sets the precision of products of cuda() for a scope.
class WithMath {
 public:
  explicit WithMath(CudaMath m) : before_(cuda().math) { cuda().math = m; }
  WithMath(const WithMath&) = delete;
  ~WithMath() { cuda().math = before_; }

 private:
  CudaMath before_;
};

#if TENON_SIMT
/// Restores the options of the emulator at the end of its scope and clears its errors.
struct RestoredOptions {
  const simt::Options before = simt::options();
  RestoredOptions() = default;
  RestoredOptions(const RestoredOptions&) = delete;
  ~RestoredOptions() {
    simt::options() = before;
    simt::reset();
  }
};
#endif

/// n values in device memory with guards around them. intact() tells whether the guards are unchanged. `offset` moves
/// the first value off its alignment by that many values.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& from, std::size_t offset = 0)
      : n_(from.size()), offset_(offset), memory_(n_ + offset + guard) {
    std::vector<T> all(memory_.size(), T(99));
    std::copy(from.begin(), from.end(), all.begin() + static_cast<std::ptrdiff_t>(offset));
    upload(cuda(), all.data(), memory_.data(), all.size());
  }
  explicit OnDevice(std::size_t n, T fill = T(-77), std::size_t offset = 0)
      : OnDevice(std::vector<T>(n, fill), offset) {}

  T* data() { return memory_.data() + offset_; }
  std::size_t size() const { return n_; }
  Span<T> span() { return {data(), n_}; }
  Span<const T> const_span() { return {data(), n_}; }

  void write(const std::vector<T>& from) { upload(cuda(), from.data(), data(), from.size()); }
  std::vector<T> read() const {
    const std::vector<T> all = everything();
    return {all.begin() + static_cast<std::ptrdiff_t>(offset_),
            all.begin() + static_cast<std::ptrdiff_t>(offset_ + n_)};
  }
  bool intact() const {
    const std::vector<T> all = everything();
    for (std::size_t i = 0; i < all.size(); ++i)
      if ((i < offset_ || i >= offset_ + n_) && all[i] != T(99)) return false;
    return true;
  }

 private:
  static constexpr std::size_t guard = 16;
  std::vector<T> everything() const {
    std::vector<T> all(memory_.size());
    download(cuda(), memory_.data(), all.data(), all.size());
    return all;
  }
  std::size_t n_, offset_;
  kernels::CudaBuffer<T> memory_;
};

/// Whether f(), which returns a vector, always gives the same bits: under every order of threads and blocks in the
/// emulator, and three times on a GPU.
template <class F>
bool same_bits_always(F&& f) {
#if TENON_SIMT
  return simt::same_in_every_order(f);
#else
  const auto first = f();
  for (int i = 0; i < 2; ++i) {
    const auto again = f();
    if (again.size() != first.size() || std::memcmp(again.data(), first.data(), first.size() * sizeof(first[0])) != 0)
      return false;
  }
  return true;
#endif
}

/// Every order of threads and blocks in the emulator, three times on a GPU. All must give the same bits.
template <>
struct Ways<Cuda> {
  template <class T>
  using Memory = OnDevice<T>;
  template <class F>
  static void each(F&& f) {
#if TENON_SIMT
    simt::for_each_order([&] { f(cuda()); });
#else
    for (int i = 0; i < 3; ++i) f(cuda());
#endif
  }
  static int bits(const Cuda&) { return 0; }
};

}  // namespace tenon::tests
