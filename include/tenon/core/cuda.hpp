// Cuda: the device whose kernels run on an NVIDIA GPU. This header has only the handle and includes none of CUDA's headers,
// so a unit compiled by g++ may hold one. The implementation is in kernels/tenon/cuda/, for units that nvcc compiles. Each
// such unit defines the functions that are only declared here.
//
// Work is submitted to one stream and runs in order. A function that returns numbers to the host (download, a loss's sums)
// waits for the stream. All others return at once. The next function that waits reports an error of a kernel.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "tenon/core/cuda_memory.hpp"
#include "tenon/core/cuda_recorder.hpp"
#include "tenon/core/device.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// How products of float matrices are computed. Sums, parameters and all stored values are float in every mode.
enum class CudaMath {
  fp32,  // as float
  tf32,  // factors rounded to 10 bits of mantissa, on tensor cores
  bf16   // factors rounded to 7 bits of mantissa, on tensor cores
};

/// One line that says why this GPU cannot be used and what to do; empty if it can be used. Reasons: no driver or one that
/// is too old, no GPU, no code for its architecture. `ordinal` counts the GPUs that CUDA_VISIBLE_DEVICES leaves visible.
/// Never throws.
template <class = void>
std::string cuda_problem(int ordinal = 0);

struct CudaState;  // kernels/tenon/cuda/device.cuh

/// The GPU with this number among those that CUDA_VISIBLE_DEVICES leaves visible. Throws Error with cuda_problem(ordinal)
/// if it cannot be used.
template <class = void>
std::shared_ptr<CudaState> open_cuda(int ordinal);

/// A stream of one GPU. Copies share it. Any thread may use it, but only one at a time, and its work runs on that GPU. The
/// current GPU of the calling thread for other uses of CUDA does not change.
class Cuda {
 public:
  template <class T>
  using Buffer = CudaBuffer<T>;
  template <class T>
  using Pointer = CudaPointer<T>;
  using Graph = CudaGraph;
  using Recorder = CudaRecorder;

  explicit Cuda(int ordinal = 0) : state_(open_cuda<>(ordinal)), ordinal_(ordinal) {}
  explicit Cuda(CudaMath by, int ordinal = 0) : math(by), state_(open_cuda<>(ordinal)), ordinal_(ordinal) {}

  CudaState& state() const { return *state_; }
  int ordinal() const { return ordinal_; }

  // Copies of the handle do not share these:
  CudaMath math = CudaMath::fp32;
  bool allow_cublas = true;  // for large products

 private:
  std::shared_ptr<CudaState> state_;
  int ordinal_;
};

inline CudaRecorder::CudaRecorder(const Cuda& dev) : control(1, dev.ordinal()) {}

// The functions of a device (core/device.hpp), defined in kernels/tenon/cuda/device.cuh and recorder.cuh.
template <class T>
CudaBuffer<T> allocate(const Cuda& dev, std::size_t n) {
  return CudaBuffer<T>(n, dev.ordinal());
}
template <class T>
void copy(const Cuda& dev, const T* from, T* to, std::size_t n);
template <class T>
void upload(const Cuda& dev, const T* from, T* to, std::size_t n);
template <class T>
void download(const Cuda& dev, const T* from, T* to, std::size_t n);
template <class T>
void fill_zeros(const Cuda& dev, T* to, std::size_t n);
template <class = void>
void wait(const Cuda& dev);
inline int memory_space(const Cuda& dev) { return dev.ordinal(); }
template <class F>
void measure_scratch(Cuda& dev, F&& f);
/// Uses tenon's own kernels only, because cuBLAS takes long to load.
inline void prepare_for_prediction(Cuda& dev) { dev.allow_cublas = false; }

}  // namespace tenon::kernels

namespace tenon {
using kernels::Cuda;
using kernels::cuda_problem;
using kernels::CudaMath;
}  // namespace tenon

TENON_IEEE_MATH_END
