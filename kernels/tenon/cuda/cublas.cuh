// Large products of floats by cuBLAS, which is opened when the first of them comes and never linked: it is hundreds of
// megabytes, and a program that is linked to it starts a tenth of a second later.
//   multiply<F, KA, KB>(dev, p)   C = f(A B + bias) or C += A B: by cuBLAS if p is large and it is there, else by gemm.cuh
//   cublas_problem()              why it is not there, in one line with what to do; empty if it is
// A program that is linked to cuBLAS all the same uses what it is linked to. Where it cannot be opened, our own kernels
// do its work: the results differ in rounding alone.
// SPDX-License-Identifier: MIT
#pragma once

#include <cublas_v2.h>
#include <dlfcn.h>

#include <memory>
#include <string>
#include <type_traits>

#include "tenon/cuda/elementwise.cuh"
#include "tenon/cuda/gemm.cuh"

namespace tenon::kernels {

namespace cuda {

// From where on cuBLAS is used: 4 us at the peak of an H100 in float. In shorter products the fused activation and tiles
// for few blocks count for more than its speed. Estimated, not measured.
inline constexpr double cublas_operations = double{1 << 27};  // M N K
inline constexpr int cublas_least = 128;                      // each of them

// Its header declares cublasGemmEx twice.
using CublasGemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                                      const void*, cudaDataType, int, const void*, cudaDataType, int, const void*,
                                      void*, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
static_assert(sizeof(static_cast<CublasGemm>(&cublasGemmEx)) > 0);

struct CublasCalls {
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasDestroy_v2) destroy = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  decltype(&cublasSetWorkspace_v2) set_workspace = nullptr;
  decltype(&cublasSetMathMode) set_math_mode = nullptr;
  decltype(&cublasGetStatusString) status_text = nullptr;
  CublasGemm gemm = nullptr;
};

/// Fills the table; what is returned is as of cublas_problem().
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
      library = dlopen(name, RTLD_NOW | RTLD_LOCAL);  // never closed: it does not survive that well
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

/// cuBLAS for one device: its handle, bound to the stream. Without a handle it is not used.
struct Cublas {
  CublasCalls calls;
  cublasHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::string problem;

  Cublas() = default;
  explicit Cublas(const CudaState& s) : problem(load_cublas(calls)) {
    if (!problem.empty()) return;
    // NVIDIA's advice. With a workspace of its own, cuBLAS would allocate one for every recorded graph.
    const std::size_t mebibytes = s.capability >= 90 ? 32 : 4, bytes = mebibytes << 20;
    if (succeeded(calls.create(&handle), "cublasCreate") &&
        succeeded(calls.set_stream(handle, s.stream), "cublasSetStream") &&
        succeeded(calls.set_math_mode(handle, CUBLAS_DEFAULT_MATH), "cublasSetMathMode")) {
      if (const cudaError_t e = cudaMalloc(&workspace, bytes); e != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        problem = "expected " + std::to_string(mebibytes) + " MiB for cuBLAS, got \"" + cudaGetErrorString(e) + '"';
      } else {
        succeeded(calls.set_workspace(handle, workspace, bytes),
                  "cublasSetWorkspace");  // after the stream, which unsets it
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

/// The device's, opened now if nobody has tried; null if it is not to be had. A step that is being recorded opens nothing.
inline const Cublas* open_cublas(const Cuda& dev) {
  CudaState& s = dev.state();
  const OnGpu on(dev);
  if (!s.cublas && !s.scratch_fixed) s.cublas = std::make_shared<Cublas>(s);
  const Cublas* const c = static_cast<const Cublas*>(s.cublas.get());
  return c && c->handle ? c : nullptr;
}

template <class T>
bool is_large(const Product<T>& p) {
  return std::is_same_v<T, float> && p.m >= cublas_least && p.n >= cublas_least && p.k >= cublas_least &&
         static_cast<double>(p.m) * p.n * p.k >= cublas_operations;
}

/// C = A B or C += A B by cuBLAS, if p is large and cuBLAS allowed and there. While scratch is measured the answer is no:
/// a smaller batch may need ours.
template <bool KA, bool KB>
bool cublas_gemm(const Cuda& dev, const Product<float>& p) {
  CudaState& s = dev.state();
  if (!is_large(p) || !dev.allow_cublas) return false;
  const Cublas* const cublas = open_cublas(dev);
  if (!cublas || s.measuring) return false;
  const OnGpu on(dev);
  const float one = 1, beta = p.add ? 1 : 0;
  const cublasComputeType_t compute = dev.math == CudaMath::fp32   ? CUBLAS_COMPUTE_32F
                                      : dev.math == CudaMath::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                   : CUBLAS_COMPUTE_32F_FAST_16BF;
  // cuBLAS reads by columns: what it calls C is ours transposed, B^T A^T.
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

/// C = f(A B + bias) or C += A B, rows of C side by side.
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

/// gemm_pair() with what is large left to cuBLAS.
template <class T>
void multiply_pair(const Cuda& dev, Product<T> p, Product<T> q) {
  if constexpr (std::is_same_v<T, float>) {
    if (p.c && cublas_gemm<false, false>(dev, p)) p.c = nullptr;
    if (q.c && cublas_gemm<true, false>(dev, q)) q.c = nullptr;
  }
  gemm_pair(dev, p, q);
}

}  // namespace cuda

/// Why cuBLAS cannot be opened here, in one line with what to do; empty if it can.
inline std::string cublas_problem() {
  cuda::CublasCalls calls;
  return cuda::load_cublas(calls);
}

}  // namespace tenon::kernels
