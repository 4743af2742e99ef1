// What all kernels use: the only launch function, shared memory, scratch memory and grid sizes.
//
// Rules that keep a kernel testable without a GPU (tests/simt). It is a __global__ template. Only launch() launches it. Its
// shared memory is one struct from shared_memory<S>(), sizeof(S) bytes. Inline assembly is in arch.cuh only. It has no
// __constant__, __device__ or static variables and no float atomics. Arguments are trivially copyable values: pointers,
// numbers, small structs.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/cuda/arch.cuh"
#include "tenon/cuda/device.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

struct Grid {
  unsigned x = 1, y = 1, z = 1;  // at most 2^31 - 1, 65535, 65535
};
struct Block {
  unsigned x = 1, y = 1, z = 1;  // at most 1024 in total
};

namespace cuda {

/// For messages: the name of a kernel and the line of its launch. Converts from the name alone.
struct KernelName {
  const char* text;
  detail::Line line;
  KernelName(const char* name, detail::Line launched = {__builtin_FILE(), __builtin_LINE()})
      : text(name), line(launched) {}
};

/// Loads the kernel. This must happen before a graph is captured: during capture, drivers before CUDA 12.3 refuse it.
/// Throws Error if the kernel cannot run with so many threads per block.
template <class Kernel>
void load(Kernel kernel, const KernelName& name, Block block) {
  cudaFuncAttributes attributes{};
  detail::check(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes", name.text, name.line);
  if (const unsigned threads = block.x * block.y * block.z;
      threads > static_cast<unsigned>(attributes.maxThreadsPerBlock))
    throw Error("cuda",
                std::string("expected at most ") + std::to_string(attributes.maxThreadsPerBlock) +
                    " threads of kernel " + name.text + " in a block, got " + std::to_string(threads),
                name.line.text());
}

/// Runs `kernel` on the device's stream with `shared_bytes` of dynamic shared memory. While scratch is measured, the
/// kernel is only loaded.
template <class... P, class... A>
void launch(const Cuda& dev, KernelName name, void (*kernel)(P...), Grid grid, Block block, std::size_t shared_bytes,
            A... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "tenon::launch: one argument for each of the kernel's");
  CudaState& s = dev.state();
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const OnGpu on(dev);
  if (s.measuring) return load(kernel, name, block);
  if (shared_bytes > 48 * 1024)
    detail::check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
        "cudaFuncSetAttribute", name.text, name.line);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid.x, grid.y, grid.z);
  config.blockDim = dim3(block.x, block.y, block.z);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = s.stream;
#if TENON_SIMT
  simt::name_next_launch(name.text);
#endif
  s.last_kernel = name.text;
  detail::check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "cudaLaunchKernelEx", name.text,
                name.line);
}

/// The number of blocks of `each` that cover n.
constexpr unsigned blocks_for(std::size_t n, std::size_t each) { return static_cast<unsigned>((n + each - 1) / each); }

/// Device memory for the duration of one function. Kernels that use it are launched before the function ends, and those of
/// the next function run after them. Two calls of take() return different pieces.
class ScratchAllocator {
 public:
  explicit ScratchAllocator(const Cuda& dev) : state_(dev.state()), begin_(state_.scratch_used) {}
  ScratchAllocator(const ScratchAllocator&) = delete;
  ~ScratchAllocator() { state_.scratch_used = begin_; }

  /// n values, aligned to 256 bytes, not initialized.
  template <class T>
  T* take(std::size_t n) {
    const std::size_t bytes = (n * sizeof(T) + 255) / 256 * 256, end = state_.scratch_used + bytes;
    if (end > state_.scratch_max) state_.scratch_max = end;
    if (state_.measuring) return state_.scratch_used = end, nullptr;
    if (end > state_.scratch_bytes) {
      if (state_.scratch_fixed)
        throw Error("cuda", "expected at most " + std::to_string(state_.scratch_bytes) +
                                " bytes of scratch, as measured when the model was made, got " + std::to_string(end));
      reserve(state_, 2 * end);
    }
    T* const p = reinterpret_cast<T*>(state_.scratch + state_.scratch_used);
    state_.scratch_used = end;
#if TENON_SIMT
    simt::undefined(p, bytes);  // the old contents are not values of the new piece
#endif
    return p;
  }

  /// Grows scratch to at least `bytes`.
  static void reserve(CudaState& s, std::size_t bytes) {
    if (bytes <= s.scratch_bytes) return;
    const OnGpu on(s.ordinal);
    detail::check(cudaStreamSynchronize(s.stream), "cudaStreamSynchronize", s.last_kernel);
    if (s.scratch) s.outgrown.push_back(std::exchange(s.scratch, nullptr));
    if (s.scratch_used == 0 && !s.scratch_recorded) {
      for (void* p : s.outgrown) detail::check(cudaFree(p), "cudaFree");
      s.outgrown.clear();
    }
    s.scratch_bytes = 0;
    detail::check(cudaMalloc(&s.scratch, bytes), ("cudaMalloc of " + std::to_string(bytes) + " bytes").c_str());
    s.scratch_bytes = bytes;
  }

 private:
  CudaState& state_;
  std::size_t begin_;
};

}  // namespace cuda
}  // namespace tenon::kernels

TENON_IEEE_MATH_END
