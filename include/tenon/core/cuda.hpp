// Cuda: the device whose kernels run on an NVIDIA GPU. Here it is a handle, and none of CUDA's headers is needed: a unit
// compiled by g++ may hold one. What it does is in kernels/tenon/cuda/, for units that nvcc compiles; the functions that
// are declared here alone are defined in each of those.
//
// Work goes to one stream and is done in order. A function that hands numbers to the host (download, a loss's sums) waits
// for it; all others return at once. An error of a kernel is seen by the next function that waits.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/core/arguments.hpp"
#include "tenon/core/view.hpp"

namespace tenon::kernels {

/// How products of float matrices are computed. Sums, parameters and all that is stored are float in each.
enum class CudaMath {
  fp32,  // as float
  tf32,  // factors rounded to 10 bits of mantissa, on tensor cores
  bf16   // factors rounded to 7 bits of mantissa, on tensor cores
};

/// Why that GPU cannot be used here, in one line with what to do; empty if it can: no driver or one that is too old, no
/// GPU, no code for its architecture. `ordinal` counts those that CUDA_VISIBLE_DEVICES leaves. Never throws.
template <class = void>
std::string cuda_problem(int ordinal = 0);

struct CudaState;  // kernels/tenon/cuda/device.cuh

/// What changes from one step to the next and kernels must know. A recorded step is replayed with the arguments that it
/// was recorded with, so its kernels read this instead, from device memory.
struct CudaCursor {
  std::uint64_t first_sample = 0;  // position in the epoch of the batch's first sample
  std::uint32_t step = 0;          // updates made before
  std::uint32_t epoch = 0;         // epochs finished
  double learning_rate = 0;
  double grad_scale = 1;  // clipping
  int stopped = 0;        // not 0: from this step on nothing is changed any more, and the host is to look into it
  std::uint32_t stopped_at = 0;
};

/// What host and device tell each other about some recorded steps.
struct CudaControl {
  static constexpr int most_steps = 64;
  CudaCursor cursor;
  LossSums batch_sums;                // of the running step, written by the loss
  LossSums sums;                      // of the steps made
  std::uint32_t rates_from = 0;       // the step of rates[0]
  double rates[most_steps + 1] = {};  // learning rates of the steps to come
};

/// The GPU of that number among those that CUDA_VISIBLE_DEVICES leaves. Throws Error with cuda_problem(ordinal).
template <class = void>
std::shared_ptr<CudaState> open_cuda(int ordinal);
/// Zeroed memory, null for no bytes, of the GPU `gpu`; if that is -1, of the calling thread's, and `gpu` then says which.
template <class = void>
void* cuda_allocate(std::size_t bytes, int& gpu);
template <class = void>
void cuda_free(void* p, int gpu) noexcept;

/// Zeroed memory of a GPU that owns itself. The host may not look into it.
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
  int gpu() const { return gpu_; }  // -1: of none, for there is no memory
  Span<T> span() { return {data_, size_}; }
  Span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  int gpu_ = -1;
};

/// Launches that were captured once and are replayed as one (kernels/tenon/cuda/recorder.cuh); null: none.
using CudaGraph = std::shared_ptr<void>;

/// Graphs of the steps of a training, or of the batches of an evaluation: the device's memory of the control block, and a
/// graph for each size of the batch and number of them.
class CudaRecorder {
 public:
  explicit CudaRecorder(int gpu = -1) : control(1, gpu) {}

  CudaBuffer<CudaControl> control;
  CudaControl host;
  struct Graph {
    int batch, steps;
    CudaGraph graph;
  };
  std::vector<Graph> graphs;
};

/// A stream of one GPU. Copies share it. Whatever is done with it is done on that GPU, by any thread, but by one at a time;
/// which GPU is the thread's own for other uses of CUDA stays as it is.
class Cuda {
 public:
  template <class T>
  using Buffer = CudaBuffer<T>;
  static constexpr bool host_memory = false;
  using Graph = CudaGraph;
  using Recorder = CudaRecorder;

  explicit Cuda(int ordinal = 0) : state_(open_cuda<>(ordinal)), ordinal_(ordinal) {}
  explicit Cuda(CudaMath by, int ordinal = 0) : math(by), state_(open_cuda<>(ordinal)), ordinal_(ordinal) {}

  CudaState& state() const { return *state_; }
  int ordinal() const { return ordinal_; }

  /// Of the Cpu; here scratch memory is measured when a model is made (kernels/tenon/cuda/launch.cuh).
  void reserve_scratch(std::size_t) {}

  // Each handle's own:
  CudaMath math = CudaMath::fp32;
  bool allow_cublas = true;  // for large products

 private:
  std::shared_ptr<CudaState> state_;
  int ordinal_;
};

}  // namespace tenon::kernels

namespace tenon {
using kernels::Cuda;
using kernels::cuda_problem;
using kernels::CudaMath;
}  // namespace tenon
