// What a Cuda handle points to: stream, limits of the GPU, scratch memory, the place of the running step. And moving
// numbers between host and device.
//   copy(dev, from, to, n)       device to device, in order with the kernels
//   upload(dev, from, to, n)     host to device; `from` may be changed when it returns
//   download(dev, from, to, n)   device to host; waits
//   fill_zeros(dev, to, n)
//   wait(dev)                    until all is done; throws what went wrong in a kernel, with the name of the last one
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tenon/core/arguments.hpp"
#include "tenon/core/cuda.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/os.hpp"

namespace tenon::kernels {

inline constexpr unsigned cuda_tickets = 128;

struct CudaState {
  int ordinal = 0;
  std::string name;
  int capability = 0;  // 10 * major + minor
  int multiprocessors = 0;
  std::size_t shared_limit = 0;  // bytes of shared memory that a block may ask for
  bool reads_pageable = false;   // the GPU may read ordinary host memory by itself, and so after a copy has returned
  cudaStream_t stream = nullptr;
  const char* last_kernel = "none";

  // Scratch: a stack of pieces that lives as long as the function that takes them (class Scratch in launch.cuh).
  char* scratch = nullptr;
  std::size_t scratch_bytes = 0, scratch_used = 0, scratch_most = 0;
  std::vector<void*> outgrown;  // scratch of before, in which pieces still lie
  bool scratch_fixed =
      false;  // it may not grow any more: a step is being recorded, or was promised to allocate nothing
  bool scratch_recorded = false;  // graphs point into it, so that outgrown memory is kept as long as this
  bool measuring = false;         // launches do nothing; scratch is only counted

  // In device memory, while a step is being recorded; else null.
  CudaCursor* cursor = nullptr;
  LossSums* loss_sums = nullptr;  // where the loss leaves the sums of the batch

  unsigned* tickets = nullptr;  // cuda_tickets zeros in device memory: a kernel that counts its blocks leaves zeros

  std::shared_ptr<void> cublas;  // what cublas.cuh has opened, or why it could not

  CudaState() = default;
  CudaState(const CudaState&) = delete;
  inline ~CudaState();
};

namespace cuda {

inline constexpr int least_capability = 80;  // 10 * major + minor: copies past registers, mma of tf32 and bf16

/// Never launched: what CUDA says of it, it says of every kernel of this unit.
template <class = void>
__global__ void any_kernel() {}

}  // namespace cuda

namespace detail {

/// What nvcc was told to compile this unit for: "sm_80 sm_90".
inline std::string compiled_architectures() {
  std::string text;
  for (const int a : {__CUDA_ARCH_LIST__}) text += (text.empty() ? "sm_" : " sm_") + std::to_string(a / 10);
  return text;
}

/// Whether that error means that there is no code for the GPU, be it compiled before or now, by the driver.
inline bool is_no_code(cudaError_t e) {
  return e == cudaErrorNoKernelImageForDevice || e == cudaErrorInvalidDeviceFunction || e == cudaErrorInvalidPtx ||
         e == cudaErrorUnsupportedPtxVersion || e == cudaErrorJitCompilerNotFound;
}

inline std::string no_code_text(int ordinal) {
  cudaDeviceProp p{};
  static_cast<void>(cudaGetDeviceProperties(&p, ordinal));
  const int capability = 10 * p.major + p.minor;
  if (capability < cuda::least_capability)
    return "expected a GPU of compute capability 8.0 or newer, got " + std::string(p.name) + " of " +
           std::to_string(p.major) + "." + std::to_string(p.minor) + ": use --device cpu";
  const std::string sm = std::to_string(capability);
  return "expected code for sm_" + sm + " (" + p.name + "), got code for " + compiled_architectures() +
         ": configure with -DCMAKE_CUDA_ARCHITECTURES=" + sm + " (nvcc -arch=sm_" + sm + ") and build again";
}

/// A line of the library's; as the default of an argument, that of the call.
struct Line {
  const char* file;
  int number;
  std::string text() const {
    const std::string path(file);
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(number);
  }
};

/// Why a call of CUDA's failed, and in which line. Errors of kernels come late, so the last one launched is named.
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
  const bool container = in_container();
  const std::string give = container ? ": start the container with --gpus all" : "";
  if (driver == 0)
    return "expected NVIDIA's driver, got none" +
           (container ? give : std::string(": install it (nvidia-smi must work), or use --device cpu"));
  if (e == cudaErrorInsufficientDriver)
    // A driver runs programs of every later CUDA with the same major number.
    return "expected a driver for CUDA " + driver_version_text(CUDART_VERSION / 1000 * 1000) +
           " or newer, got one for CUDA " + driver_version_text(driver) + ": update NVIDIA's driver";
  if (e == cudaErrorNoDevice || e == cudaSuccess)
    return "expected an NVIDIA GPU, got none" +
           (container ? give : std::string(": look at nvidia-smi and at CUDA_VISIBLE_DEVICES"));
  return std::string("expected an NVIDIA GPU that works, got \"") + cudaGetErrorString(e) + "\": " +
         (e == cudaErrorSystemNotReady ? "start NVIDIA's fabric manager (systemctl status nvidia-fabricmanager)"
          : e == cudaErrorSystemDriverMismatch
              ? "restart the machine: its driver was updated, and the kernel has the one of before"
          : e == cudaErrorDevicesUnavailable
              ? "see which process has the GPU for itself (nvidia-smi -q -d COMPUTE), or use --device cpu"
              : "look at nvidia-smi and dmesg, or use --device cpu");
}

}  // namespace detail

/// While it lives, what the calling thread asks of the runtime goes to that GPU, if it could be had: it never throws.
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

/// The same where it must be had. A stream's kernels are launched, and its functions set up, on its own GPU alone.
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
  // Our streams do not wait for the legacy stream in which this runs, so this is waited for here; not for the device, for
  // another thread may be recording on it.
  detail::check(cudaMemset(p, 0, bytes), "cudaMemset");
  detail::check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
  return p;
}

template <class>
void cuda_free(void* p, int gpu) noexcept {
  const TryOnGpu on(gpu);
  static_cast<void>(cudaFree(p));
}

// For units that see the declarations alone (core/cuda.hpp). The linker keeps one of each.
template std::string cuda_problem<void>(int);
template std::shared_ptr<CudaState> open_cuda<void>(int);
template void* cuda_allocate<void>(std::size_t, int&);
template void cuda_free<void>(void*, int) noexcept;

inline void wait(const Cuda& dev) {
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
  // Ordinary host memory is copied aside before the call returns (CUDA Runtime API, "API synchronization behavior"), but
  // perhaps not where the GPU can read it.
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
