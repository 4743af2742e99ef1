// How kernels are launched, and what all of them use: the one launch function, shared memory, scratch, sizes of grids.
//
// Rules that keep a kernel testable without a GPU (tests/simt): it is a __global__ template; it is launched by launch()
// and by nothing else; it takes shared memory as one struct from shared_memory<S>(), sizeof(S) bytes; inline assembly
// lives in arch.cuh alone; it has no __constant__, __device__ or static variables and no float atomics. Arguments are
// trivially copyable values: pointers, numbers, small structs.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/cuda/arch.cuh"
#include "tenon/cuda/device.cuh"

namespace tenon::kernels {

struct Grid {
  unsigned x = 1, y = 1, z = 1;  // at most 2^31 - 1, 65535, 65535
};
struct Block {
  unsigned x = 1, y = 1, z = 1;  // at most 1024 in all
};

namespace cuda {

/// For people: of a kernel, and where it is launched. Made from the name alone.
struct KernelName {
  const char* text;
  detail::Line line;
  KernelName(const char* name, detail::Line launched = {__builtin_FILE(), __builtin_LINE()})
      : text(name), line(launched) {}
};

/// Loads the kernel, which must not wait until a graph is recorded (drivers before CUDA 12.3 refuse it there), and sees
/// whether as many threads can run it.
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

/// Runs `kernel` on the device's stream with `shared_bytes` of dynamic shared memory. While scratch is measured it is only
/// made ready.
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

/// Blocks of `each` that cover n.
constexpr unsigned blocks_for(std::size_t n, std::size_t each) { return static_cast<unsigned>((n + each - 1) / each); }

/// Device memory for the length of one function: kernels that use it are launched before it ends, and the next function's
/// run after them. What is taken twice is not the same piece.
class Scratch {
 public:
  explicit Scratch(const Cuda& dev) : state_(dev.state()), begin_(state_.scratch_used) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() { state_.scratch_used = begin_; }

  /// n values, aligned to 256 bytes, not initialised.
  template <class T>
  T* take(std::size_t n) {
    const std::size_t bytes = (n * sizeof(T) + 255) / 256 * 256, end = state_.scratch_used + bytes;
    if (end > state_.scratch_most) state_.scratch_most = end;
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
    simt::undefined(p, bytes);  // what was there before is no value of who takes it now
#endif
    return p;
  }

  /// At least so many bytes of scratch.
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
