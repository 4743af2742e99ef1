// The state behind a Cuda handle: the stream, limits of the GPU and scratch memory. Copies between host and device.
//   copy(dev, from, to, n)       device to device, in order with the kernels
//   upload(dev, from, to, n)     host to device; `from` may be changed after it returns
//   download(dev, from, to, n)   device to host; waits
//   fill_zeros(dev, to, n)
//   wait(dev)                    waits for all work; throws Error if a kernel failed, and names the last kernel
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tenon/core/cuda.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/gpu_advice.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr unsigned cuda_tickets = 128;

struct CudaState {
  int ordinal = 0;
  std::string name;
  int capability = 0;  // 10 * major + minor
  int multiprocessors = 0;
  std::size_t shared_limit = 0;  // maximum bytes of shared memory per block
  bool reads_pageable = false;   // the GPU may read pageable host memory itself, even after a copy has returned
  cudaStream_t stream = nullptr;
  const char* last_kernel = "none";

  // Scratch: a stack of pieces. A piece lives as long as the function that takes it (ScratchAllocator in launch.cuh).
  char* scratch = nullptr;
  std::size_t scratch_bytes = 0, scratch_used = 0, scratch_max = 0;
  std::vector<void*> outgrown;  // earlier scratch memory that may still hold pieces
  // Scratch must not grow: a step is being recorded, or a step must not allocate.
  bool scratch_fixed = false;
  bool scratch_recorded = false;  // graphs point into it, so outgrown memory is kept as long as this object
  bool measuring = false;         // launches do nothing; scratch is only counted

  unsigned* tickets = nullptr;  // cuda_tickets zeros in device memory. A kernel that counts its blocks resets them.

  std::shared_ptr<void> cublas;  // Cublas of cublas.cuh, or why it could not be loaded

  CudaState() = default;
  CudaState(const CudaState&) = delete;
  inline ~CudaState();
};

namespace cuda {

inline constexpr int min_capability = 80;  // 10 * major + minor: needed for cp.async, and mma of tf32 and bf16

/// Never launched. Its attributes stand for those of every kernel of this translation unit.
template <class = void>
__global__ void any_kernel() {}

}  // namespace cuda

namespace detail {

/// The architectures that nvcc compiles this translation unit for: "sm_80 sm_90".
inline std::string compiled_architectures() {
  std::string text;
  for (const int a : {__CUDA_ARCH_LIST__}) text += (text.empty() ? "sm_" : " sm_") + std::to_string(a / 10);
  return text;
}

/// Whether the error means that there is no code for the GPU, neither precompiled nor compiled by the driver.
inline bool is_no_code(cudaError_t e) {
  return e == cudaErrorNoKernelImageForDevice || e == cudaErrorInvalidDeviceFunction || e == cudaErrorInvalidPtx ||
         e == cudaErrorUnsupportedPtxVersion || e == cudaErrorJitCompilerNotFound;
}

inline std::string no_code_text(int ordinal) {
  cudaDeviceProp p{};
  static_cast<void>(cudaGetDeviceProperties(&p, ordinal));
  const int capability = 10 * p.major + p.minor;
  if (capability < cuda::min_capability)
    return "expected a GPU of compute capability 8.0 or newer, got " + std::string(p.name) + " of " +
           std::to_string(p.major) + "." + std::to_string(p.minor) + ": use --device cpu";
  const std::string sm = std::to_string(capability);
  return "expected code for sm_" + sm + " (" + p.name + "), got code for " + compiled_architectures() +
         ": configure with -DCMAKE_CUDA_ARCHITECTURES=" + sm + " (nvcc -arch=sm_" + sm + ") and build again";
}

/// A source line of the library. As a default argument, it is the line of the call.
struct Line {
  const char* file;
  int number;
  std::string text() const {
    const std::string path(file);
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(number);
  }
};

/// Why a CUDA call failed, and in which line. Kernel errors are reported late, so the last kernel launched is named.
inline Error cuda_error(const char* call, cudaError_t e, const char* last_kernel, const Line& line) {
  std::string text = std::string("expected ") + call + " to succeed, got \"" + cudaGetErrorString(e) + "\"";
  if (e == cudaErrorMemoryAllocation)
    text += ": take a smaller batch, or free the GPU's memory (nvidia-smi shows who holds it)";
  else if (last_kernel)
    text += std::string(" after kernel ") + last_kernel;
  if (is_no_code(e)) text += ": compile its unit for this GPU's architecture (tenon-doctor names it)";
  return Error("cuda", text, line.text());
}

inline void check(cudaError_t e, const char* call, const char* last_kernel = nullptr,
                  Line line = {__builtin_FILE(), __builtin_LINE()}) {
  if (e == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw cuda_error(call, e, last_kernel, line);
}

inline std::string driver_version_text(int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

inline std::string no_device_text(cudaError_t e) {
  int driver = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  static_cast<void>(cudaGetLastError());
  const auto environment = tenon::detail::GpuEnvironment::current();
  if (driver == 0) return "expected NVIDIA's driver, got none: " + tenon::detail::no_driver_advice(environment);
  if (e == cudaErrorInsufficientDriver)
    // A driver runs programs of every later CUDA with the same major number.
    return "expected a driver for CUDA " + driver_version_text(CUDART_VERSION / 1000 * 1000) +
           " or newer, got one for CUDA " + driver_version_text(driver) + ": update NVIDIA's driver";
  if (e == cudaErrorNoDevice || e == cudaSuccess)
    return "expected an NVIDIA GPU, got none: " + tenon::detail::no_gpu_advice(environment);
  return std::string("expected an NVIDIA GPU that works, got \"") + cudaGetErrorString(e) +
         "\": " + tenon::detail::gpu_error_advice(e, environment);
}

}  // namespace detail

/// During its lifetime, runtime calls of the calling thread go to this GPU, if it can be selected. It never throws.
class TryOnGpu {
 public:
  explicit TryOnGpu(int ordinal) noexcept : status_(cudaGetDevice(&before_)) {
    if (status_ != cudaSuccess || ordinal < 0 || ordinal == before_) return;
    status_ = cudaSetDevice(ordinal);
    changed_ = status_ == cudaSuccess;
  }
  TryOnGpu(const TryOnGpu&) = delete;
  ~TryOnGpu() {
    if (changed_) static_cast<void>(cudaSetDevice(before_));
  }
  cudaError_t status() const { return status_; }
  int before() const { return before_; }

 private:
  int before_ = 0;
  bool changed_ = false;
  cudaError_t status_;
};

/// The same, but throws Error if the GPU cannot be selected. Kernels of a stream can be launched and configured only while
/// the GPU of the stream is selected.
class OnGpu : public TryOnGpu {
 public:
  explicit OnGpu(int ordinal) : TryOnGpu(ordinal) { detail::check(status(), "cudaSetDevice"); }
  explicit OnGpu(const Cuda& dev) : OnGpu(dev.state().ordinal) {}
};

template <class>
std::string cuda_problem(int ordinal) {
  int count = 0;
  cudaError_t e = cudaGetDeviceCount(&count);
  if (e != cudaSuccess || count == 0) return detail::no_device_text(e);
  if (ordinal < 0 || ordinal >= count)
    return "expected the number of a GPU from 0 to " + std::to_string(count - 1) + ", got " + std::to_string(ordinal) +
           ": look at nvidia-smi and at CUDA_VISIBLE_DEVICES";
  cudaFuncAttributes attributes{};
  const TryOnGpu on(ordinal);
  e = on.status() == cudaSuccess ? cudaFuncGetAttributes(&attributes, cuda::any_kernel<>) : on.status();
  if (e == cudaSuccess) return {};
  static_cast<void>(cudaGetLastError());
  return detail::is_no_code(e) ? detail::no_code_text(ordinal) : detail::no_device_text(e);
}

template <class>
std::shared_ptr<CudaState> open_cuda(int ordinal) {
  if (const std::string problem = cuda_problem<>(ordinal); !problem.empty()) throw Error("cuda", problem);
  const OnGpu on(ordinal);
  auto s = std::make_shared<CudaState>();
  s->ordinal = ordinal;
  cudaDeviceProp p{};
  detail::check(cudaGetDeviceProperties(&p, ordinal), "cudaGetDeviceProperties");
  s->name = p.name;
  s->capability = 10 * p.major + p.minor;
  s->multiprocessors = p.multiProcessorCount;
  s->shared_limit = p.sharedMemPerBlockOptin;
  int reads_pageable = 0;
  detail::check(cudaDeviceGetAttribute(&reads_pageable, cudaDevAttrPageableMemoryAccess, ordinal),
                "cudaDeviceGetAttribute");
  s->reads_pageable = reads_pageable != 0;
  detail::check(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  s->tickets = static_cast<unsigned*>(cuda_allocate<>(cuda_tickets * sizeof(unsigned), ordinal));
  return s;
}

inline CudaState::~CudaState() {
  const TryOnGpu on(ordinal);
  if (stream) static_cast<void>(cudaStreamSynchronize(stream));
  cublas.reset();
  if (tickets) static_cast<void>(cudaFree(tickets));
  if (scratch) static_cast<void>(cudaFree(scratch));
  for (void* p : outgrown) static_cast<void>(cudaFree(p));
  if (stream) static_cast<void>(cudaStreamDestroy(stream));
}

template <class>
void* cuda_allocate(std::size_t bytes, int& gpu) {
  if (bytes == 0) return nullptr;
  const OnGpu on(gpu);
  if (gpu < 0) gpu = on.before();
  void* p = nullptr;
  detail::check(cudaMalloc(&p, bytes), ("cudaMalloc of " + std::to_string(bytes) + " bytes").c_str());
  // cudaMemset runs in the legacy stream. Our streams do not wait for that stream, so wait for it here. Do not wait for the
  // device: another thread may be recording on it.
  detail::check(cudaMemset(p, 0, bytes), "cudaMemset");
  detail::check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
  return p;
}

template <class>
void cuda_free(void* p, int gpu) noexcept {
  const TryOnGpu on(gpu);
  static_cast<void>(cudaFree(p));
}

template <class>
void cuda_pointer_on_host() {
#if TENON_SIMT
  if (simt::in_kernel()) return;
#endif
  throw Error(
      "cuda",
      "expected a pointer into memory of the GPU to be followed by a kernel alone, got it followed by the host: "
      "hand it to the kernel, which reads the numbers of the running step");
}

// For translation units that have only the declarations (core/cuda.hpp). The linker keeps one of each.
template std::string cuda_problem<void>(int);
template std::shared_ptr<CudaState> open_cuda<void>(int);
template void* cuda_allocate<void>(std::size_t, int&);
template void cuda_free<void>(void*, int) noexcept;
template void cuda_pointer_on_host<void>();

template <class>
void wait(const Cuda& dev) {
  const OnGpu on(dev);
  detail::check(cudaStreamSynchronize(dev.state().stream), "cudaStreamSynchronize", dev.state().last_kernel);
}

template <class T>
void copy(const Cuda& dev, const T* from, T* to, std::size_t n) {
  if (n == 0 || dev.state().measuring) return;
  const OnGpu on(dev);
  detail::check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDeviceToDevice, dev.state().stream),
                "cudaMemcpyAsync", dev.state().last_kernel);
}

template <class T>
void upload(const Cuda& dev, const T* from, T* to, std::size_t n) {
  if (n == 0 || dev.state().measuring) return;
  const OnGpu on(dev);
  // Pageable host memory is staged before the call returns (CUDA Runtime API, "API synchronization behavior"), but perhaps
  // not if the GPU can read it.
  detail::check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyHostToDevice, dev.state().stream),
                "cudaMemcpyAsync to the GPU", dev.state().last_kernel);
  if (dev.state().reads_pageable) wait(dev);
}

template <class T>
void download(const Cuda& dev, const T* from, T* to, std::size_t n) {
  if (n == 0 || dev.state().measuring) return;
  const OnGpu on(dev);
  detail::check(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDeviceToHost, dev.state().stream),
                "cudaMemcpyAsync from the GPU", dev.state().last_kernel);
  wait(dev);
}

template <class T>
void fill_zeros(const Cuda& dev, T* to, std::size_t n) {
  if (n == 0 || dev.state().measuring) return;
  const OnGpu on(dev);
  detail::check(cudaMemsetAsync(to, 0, n * sizeof(T), dev.state().stream), "cudaMemsetAsync", dev.state().last_kernel);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
