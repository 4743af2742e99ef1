// Large float matrix products by cuBLAS. The first such product loads cuBLAS. It is never linked: it has hundreds of
// megabytes, and a program that is linked to it starts a tenth of a second later.
//   multiply<F, KA, KB>(dev, p)   C = f(A B + bias) or C += A B: by cuBLAS if p is large and it is available, else by
//                                 gemm.cuh
//   cublas_problem()              why cuBLAS cannot be loaded, in one line with a remedy; empty if it can
// If a program is linked to cuBLAS, that library is used. If cuBLAS cannot be loaded, our own kernels are used: the results
// differ only in rounding.
// SPDX-License-Identifier: MIT
#pragma once

#include <cublas_v2.h>
#include <dlfcn.h>

#include <memory>
#include <string>
#include <type_traits>

#include "tenon/cuda/elementwise.cuh"
#include "tenon/cuda/gemm.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

// The smallest product that cuBLAS computes: 4 us at the peak of an H100 in float. In smaller products the fused activation
// and the tiles for few blocks save more than the speed of cuBLAS. Estimated, not measured.
inline constexpr double cublas_operations = double{1 << 27};  // M N K
inline constexpr int cublas_min = 128;                        // each of M, N and K

// cublas_v2.h declares cublasGemmEx twice.
using CublasGemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                                      const void*, cudaDataType, int, const void*, cudaDataType, int, const void*,
                                      void*, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
static_assert(sizeof(static_cast<CublasGemm>(&cublasGemmEx)) > 0);  // NOLINT(bugprone-sizeof-expression)

struct CublasCalls {
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasDestroy_v2) destroy = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  decltype(&cublasSetWorkspace_v2) set_workspace = nullptr;
  decltype(&cublasSetMathMode) set_math_mode = nullptr;
  decltype(&cublasGetStatusString) status_text = nullptr;
  CublasGemm gemm = nullptr;
};

/// Fills the table. Returns the same text as cublas_problem().
inline std::string load_cublas(CublasCalls& calls) {
#if TENON_SIMT
  calls = {&cublasCreate_v2,   &cublasDestroy_v2,      &cublasSetStream_v2, &cublasSetWorkspace_v2,
           &cublasSetMathMode, &cublasGetStatusString, &cublasGemmEx};
  return {};
#else
  void* library = RTLD_DEFAULT;
  if (!dlsym(library, "cublasCreate_v2")) {
    std::string first;
    library = nullptr;
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
      library = dlopen(name, RTLD_NOW | RTLD_LOCAL);  // never closed: cuBLAS does not tolerate it well
      if (library) break;
      if (const char* why = dlerror(); why && first.empty()) first = why;
    }
    if (!library)
      return "expected libcublas.so.13, got \"" + first +
             "\": install cuBLAS of the CUDA toolkit, or go without: our own kernels do its work";
  }
  std::string missing;
  const auto find = [&](auto& call, const char* name) {
    call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(dlsym(library, name));
    if (!call && missing.empty()) missing = name;
  };
  find(calls.create, "cublasCreate_v2");
  find(calls.destroy, "cublasDestroy_v2");
  find(calls.set_stream, "cublasSetStream_v2");
  find(calls.set_workspace, "cublasSetWorkspace_v2");
  find(calls.set_math_mode, "cublasSetMathMode");
  find(calls.status_text, "cublasGetStatusString");
  find(calls.gemm, "cublasGemmEx");
  return missing.empty() ? ""
                         : "expected a cuBLAS that has " + missing + ", got one that has not: install CUDA 12 or 13's";
#endif
}

/// cuBLAS for one device: its handle, bound to the stream. If the handle is null, cuBLAS is not used.
struct Cublas {
  CublasCalls calls;
  cublasHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::string problem;

  Cublas() = default;
  explicit Cublas(const CudaState& s) : problem(load_cublas(calls)) {
    if (!problem.empty()) return;
    // Sizes recommended by NVIDIA. Without this workspace, cuBLAS would allocate one for every captured graph.
    const std::size_t mebibytes = s.capability >= 90 ? 32 : 4, bytes = mebibytes << 20;
    if (succeeded(calls.create(&handle), "cublasCreate") &&
        succeeded(calls.set_stream(handle, s.stream), "cublasSetStream") &&
        succeeded(calls.set_math_mode(handle, CUBLAS_DEFAULT_MATH), "cublasSetMathMode")) {
      if (const cudaError_t e = cudaMalloc(&workspace, bytes); e != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        problem = "expected " + std::to_string(mebibytes) + " MiB for cuBLAS, got \"" + cudaGetErrorString(e) + '"';
      } else {
        // after cublasSetStream, which unsets the workspace
        succeeded(calls.set_workspace(handle, workspace, bytes), "cublasSetWorkspace");
      }
    }
    if (!problem.empty()) close();
  }
  Cublas(const Cublas&) = delete;
  ~Cublas() { close(); }

 private:
  bool succeeded(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS)
      problem = std::string("expected ") + call + " to succeed, got \"" + calls.status_text(status) + '"';
    return problem.empty();
  }
  void close() {
    if (handle) static_cast<void>(calls.destroy(handle));
    if (workspace) static_cast<void>(cudaFree(workspace));
    handle = nullptr;
    workspace = nullptr;
  }
};

/// cuBLAS of the device, loaded by the first call. Null if cuBLAS is unavailable. Never loaded while scratch_fixed is set.
inline const Cublas* open_cublas(const Cuda& dev) {
  CudaState& s = dev.state();
  const OnGpu on(dev);
  if (!s.cublas && !s.scratch_fixed) s.cublas = std::make_shared<Cublas>(s);
  const Cublas* const c = static_cast<const Cublas*>(s.cublas.get());
  return c && c->handle ? c : nullptr;
}

template <class T>
bool is_large(const Product<T>& p) {
  return std::is_same_v<T, float> && p.m >= cublas_min && p.n >= cublas_min && p.k >= cublas_min &&
         static_cast<double>(p.m) * p.n * p.k >= cublas_operations;
}

/// C = A B or C += A B by cuBLAS, if p is large and cuBLAS is allowed and available. Returns whether it did. Returns false
/// while scratch is measured, because a smaller batch may need our own kernel.
template <bool KA, bool KB>
bool cublas_gemm(const Cuda& dev, const Product<float>& p) {
  CudaState& s = dev.state();
  if (!is_large(p) || !dev.allow_cublas) return false;
  const Cublas* const cublas = open_cublas(dev);
  if (!cublas || s.measuring) return false;
  const OnGpu on(dev);
  const float one = 1, beta = p.accumulate ? 1 : 0;
  const cublasComputeType_t compute = dev.math == CudaMath::fp32   ? CUBLAS_COMPUTE_32F
                                      : dev.math == CudaMath::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                   : CUBLAS_COMPUTE_32F_FAST_16BF;
  // cuBLAS is column-major: its C is our C transposed, B^T A^T.
  const cublasStatus_t status =
      cublas->calls.gemm(cublas->handle, KB ? CUBLAS_OP_T : CUBLAS_OP_N, KA ? CUBLAS_OP_N : CUBLAS_OP_T, p.n, p.m, p.k,
                         &one, p.b, CUDA_R_32F, static_cast<int>(p.b_ld), p.a, CUDA_R_32F, static_cast<int>(p.a_ld),
                         &beta, p.c, CUDA_R_32F, static_cast<int>(p.c_ld), compute, CUBLAS_GEMM_DEFAULT);
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error("cuda", "expected cublasGemmEx of " + std::to_string(p.n) + ", " + std::to_string(p.m) + ", " +
                            std::to_string(p.k) + " to succeed, got \"" + cublas->calls.status_text(status) +
                            "\": see whether cuBLAS fits the driver (tenon-doctor)");
  s.last_kernel = "cublasGemmEx";
  return true;
}

/// y = f(y + bias)
template <class F, class T>
struct AddBias {
  T* y;
  const T* bias;  // or null
  std::size_t cols;
  __device__ void wide(std::size_t i) const {
    Wide<T> w = load_wide(y + i);
    for (int k = 0; k < Wide<T>::size; ++k)
      w.v[k] = F::of(bias ? w.v[k] + bias[(i + static_cast<std::size_t>(k)) % cols] : w.v[k]);
    store_wide(y + i, w);
  }
  __device__ void one(std::size_t i) const { y[i] = F::of(bias ? y[i] + bias[i % cols] : y[i]); }
};

/// C = f(A B + bias) or C += A B. C is contiguous.
template <class F, bool KA, bool KB, class T>
void multiply(const Cuda& dev, const Product<T>& p) {
  if constexpr (std::is_same_v<T, float>)
    if (cublas_gemm<KA, KB>(dev, p)) {
      if (p.bias || !F::identity)
        for_each_wide<T>(dev, "add_bias", static_cast<std::size_t>(p.m) * static_cast<std::size_t>(p.n),
                         AddBias<F, T>{p.c, p.bias, static_cast<std::size_t>(p.n)}, p.c);
      return;
    }
  gemm<F, KA, KB>(dev, p);
}

/// gemm_pair(), except that cuBLAS computes the large products.
template <class T>
void multiply_pair(const Cuda& dev, Product<T> p, Product<T> q) {
  if constexpr (std::is_same_v<T, float>) {
    if (p.c && cublas_gemm<false, false>(dev, p)) p.c = nullptr;
    if (q.c && cublas_gemm<true, false>(dev, q)) q.c = nullptr;
  }
  gemm_pair(dev, p, q);
}

}  // namespace cuda

/// Why cuBLAS cannot be loaded here, in one line with a remedy. Empty if it can.
inline std::string cublas_problem() {
  cuda::CublasCalls calls;
  return cuda::load_cublas(calls);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
