// The part of cuBLAS that tenon uses: C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C, all column-major.
//
// Numbers: operands are rounded to the compute type (tf32, bf16). Products are added in float in the order of k, or in
// double for a double compute type. beta == 0 does not read C. A workspace must be set after the last cublasSetStream,
// which resets it: without one cuBLAS allocates a workspace for every captured graph. Errors: a status and a report.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <vector>

#include "cublas_v2.h"
#include "cuda_bf16.h"
#include "engine.hpp"
#include "simt/tensor_core.hpp"

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
};

namespace simt {
namespace {

struct Operand {
  const char* name;
  const void* data;
  cudaDataType type;
  int rows, cols, ld;  // as stored
  bool transposed;
  long long stride;

  std::size_t size() const { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }
  std::size_t bytes(int batch) const {
    if (rows == 0 || cols == 0) return 0;
    const long long last = stride * (batch - 1) + static_cast<long long>(ld) * (cols - 1) + rows;
    return static_cast<std::size_t>(last) * size();
  }
};

struct Product {
  int m, n, k, batch;
  Operand a, b, c;
  double alpha, beta;              // in host memory
  const void *alpha_at, *beta_at;  // on the device, if not null
  cublasComputeType_t compute;
};

enum class Round { no, tf32, bf16 };

// Element (row, col) of an operand, in T, rounded.
template <class T>
T element(const Operand& o, int batch, int row, int col, Round round) {
  if (o.transposed) std::swap(row, col);
  const std::size_t at = static_cast<std::size_t>(o.stride * batch + static_cast<long long>(o.ld) * col + row);
  if (o.type == CUDA_R_64F) return static_cast<T>(static_cast<const double*>(o.data)[at]);
  float v = o.type == CUDA_R_32F ? static_cast<const float*>(o.data)[at]
                                 : __bfloat162float(static_cast<const __nv_bfloat16*>(o.data)[at]);
  if (round == Round::tf32) v = std::bit_cast<float>(to_tf32(v));
  if (round == Round::bf16) v = __bfloat162float(__float2bfloat16_rn(v));
  return static_cast<T>(v);
}

// Reports the reads and writes of a product to the observer.
void watch(const Product& p, const char* call) {
  if (!observer) return;
  const double beta = p.beta_at ? 1 : p.beta;
  for (const Operand* o : {&p.a, &p.b, &p.c})
    for (int batch = 0; batch < p.batch; ++batch)
      for (int col = 0; col < o->cols && (o == &p.c || p.k > 0); ++col) {
        const char* const at =
            static_cast<const char*>(o->data) +
            static_cast<std::size_t>(o->stride * batch + static_cast<long long>(o->ld) * col) * o->size();
        const std::size_t bytes = static_cast<std::size_t>(o->rows) * o->size();
        if (o != &p.c || beta != 0) observer->reads(at, bytes, call);
        if (o == &p.c) observer->writes(at, bytes, call);
      }
}

// Copies A and B so that the inner loop is contiguous.
template <class T>
void multiply(const Product& p, Round round) {
  static std::vector<T> a, b, sums;  // static: a step must not allocate
  const auto size = [](int x, int y) { return static_cast<std::size_t>(x) * static_cast<std::size_t>(y); };
  T alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta);
  if (p.alpha_at) std::memcpy(&alpha, p.alpha_at, sizeof(T));
  if (p.beta_at) std::memcpy(&beta, p.beta_at, sizeof(T));
  if (a.size() < size(p.m, p.k)) a.resize(size(p.m, p.k));
  if (b.size() < size(p.k, p.n)) b.resize(size(p.k, p.n));
  if (sums.size() < static_cast<std::size_t>(p.m)) sums.resize(static_cast<std::size_t>(p.m));
  for (int batch = 0; batch < p.batch; ++batch) {
    for (int l = 0; l < p.k; ++l) {
      for (int i = 0; i < p.m; ++i) a[size(l, p.m) + static_cast<std::size_t>(i)] = element<T>(p.a, batch, i, l, round);
      for (int j = 0; j < p.n; ++j) b[size(l, p.n) + static_cast<std::size_t>(j)] = element<T>(p.b, batch, l, j, round);
    }
    for (int j = 0; j < p.n; ++j) {
      T* const s = sums.data();
      std::fill(s, s + p.m, T(0));
      for (int l = 0; l < p.k; ++l) {
        const T factor = b[size(l, p.n) + static_cast<std::size_t>(j)];
        const T* const column = a.data() + size(l, p.m);
        for (int i = 0; i < p.m; ++i) s[i] += factor * column[i];
      }
      for (int i = 0; i < p.m; ++i) {
        T v = alpha * s[i];
        if (beta != T(0)) v += beta * element<T>(p.c, batch, i, j, Round::no);
        const std::size_t at = static_cast<std::size_t>(p.c.stride * batch + static_cast<long long>(p.c.ld) * j + i);
        void* const c = const_cast<void*>(p.c.data);
        if (p.c.type == CUDA_R_64F)
          static_cast<double*>(c)[at] = static_cast<double>(v);
        else if (p.c.type == CUDA_R_32F)
          static_cast<float*>(c)[at] = static_cast<float>(v);
        else
          static_cast<__nv_bfloat16*>(c)[at] = __float2bfloat16_rn(static_cast<float>(v));
      }
    }
  }
}

cublasStatus_t refuse(cublasStatus_t status, const std::string& text) {
  report(cudaErrorInvalidValue, text);
  cudaGetLastError();  // cuBLAS has its own status; the runtime's error is cleared
  return status;
}

cublasStatus_t gemm(cublasHandle_t h, const char* call, cublasOperation_t opa, cublasOperation_t opb, int m, int n,
                    int k, const void* alpha, const void* a, cudaDataType a_type, int lda, long long a_stride,
                    const void* b, cudaDataType b_type, int ldb, long long b_stride, const void* beta, void* c,
                    cudaDataType c_type, int ldc, long long c_stride, int batch, cublasComputeType_t compute) {
  const auto where = [call] { return std::string(call) + ": expected "; };
  if (!h) return refuse(CUBLAS_STATUS_NOT_INITIALIZED, where() + "a handle, got null");
  if (m < 0 || n < 0 || k < 0 || batch < 0)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, where() + "extents from 0 on, got " + std::to_string(m) + ", " +
                                                   std::to_string(n) + ", " + std::to_string(k));
  if (opa < CUBLAS_OP_N || opa > CUBLAS_OP_C || opb < CUBLAS_OP_N || opb > CUBLAS_OP_C)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, where() + "operations N, T or C");
  Product p{};
  p.m = m, p.n = n, p.k = k, p.batch = batch, p.compute = compute;
  p.a = {"A", a, a_type, opa == CUBLAS_OP_N ? m : k, opa == CUBLAS_OP_N ? k : m, lda, opa != CUBLAS_OP_N, a_stride};
  p.b = {"B", b, b_type, opb == CUBLAS_OP_N ? k : n, opb == CUBLAS_OP_N ? n : k, ldb, opb != CUBLAS_OP_N, b_stride};
  p.c = {"C", c, c_type, m, n, ldc, false, c_stride};
  const bool in_double = compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC;
  for (const Operand* o : {&p.a, &p.b, &p.c}) {
    if (o->ld < std::max(1, o->rows))
      return refuse(CUBLAS_STATUS_INVALID_VALUE, where() + "a leading dimension of " + o->name + " of at least " +
                                                     std::to_string(std::max(1, o->rows)) + ", got " +
                                                     std::to_string(o->ld));
    const bool known = in_double ? o->type == CUDA_R_64F : o->type == CUDA_R_32F || o->type == CUDA_R_16BF;
    if (!known || a_type != b_type || (c_type != a_type && c_type != CUDA_R_32F))
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, where() + "types that go together and with the compute type");
    if (o->type == CUDA_R_16BF && compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC)
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, where() + "CUBLAS_COMPUTE_32F with bf16");
  }
  if (m == 0 || n == 0 || batch == 0) return CUBLAS_STATUS_SUCCESS;
  if (!alpha || !beta) return refuse(CUBLAS_STATUS_INVALID_VALUE, where() + "alpha and beta, got null");
  if (h->pointers == CUBLAS_POINTER_MODE_DEVICE) {
    p.alpha_at = alpha, p.beta_at = beta;
    p.alpha = p.beta = 1;
  } else {
    if (place_of(alpha).where == Where::device || place_of(beta).where == Where::device)
      return refuse(CUBLAS_STATUS_INVALID_VALUE, where() + "alpha and beta on the host");
    p.alpha = in_double ? *static_cast<const double*>(alpha) : *static_cast<const float*>(alpha);
    p.beta = in_double ? *static_cast<const double*>(beta) : *static_cast<const float*>(beta);
  }
  if (!h->workspace)
    return refuse(CUBLAS_STATUS_NOT_INITIALIZED,
                  where() + "a workspace (cublasSetWorkspace after each cublasSetStream), got none");
  for (const Operand* o : {&p.a, &p.b, &p.c}) {
    const std::size_t bytes = k == 0 && o != &p.c ? 0 : o->bytes(batch);
    if (bytes == 0) continue;
    const Place place = place_of(o->data);
    if (place.where != Where::device || !place.region->holds(o->data, bytes))
      return refuse(CUBLAS_STATUS_EXECUTION_FAILED, where() + std::to_string(bytes) + " bytes of " + o->name +
                                                        " on the device, got " + describe_address(o->data));
    if (reinterpret_cast<std::uintptr_t>(o->data) % o->size())
      return refuse(CUBLAS_STATUS_INVALID_VALUE, where() + o->name + " aligned to its elements");
  }
  Round round = Round::no;
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
      (compute == CUBLAS_COMPUTE_32F && h->math == CUBLAS_TF32_TENSOR_OP_MATH && a_type == CUDA_R_32F))
    round = Round::tf32;
  if (compute == CUBLAS_COMPUTE_32F_FAST_16BF) round = Round::bf16;
  const auto work = [p, round, in_double, call] {
    watch(p, call);
    in_double ? multiply<double>(p, round) : multiply<float>(p, round);
  };
  return enqueue(h->stream, call, std::cref(work), [&] { return std::function<void()>(work); }) == cudaSuccess
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace
}  // namespace simt

using simt::refuse;

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = 130000;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  handle->workspace = nullptr;
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  const simt::Place place = simt::place_of(workspace);
  if (place.where != simt::Where::device || !place.region->holds(workspace, bytes) ||
      reinterpret_cast<std::uintptr_t>(workspace) % 256)
    return refuse(
        CUBLAS_STATUS_INVALID_VALUE,
        "cublasSetWorkspace: expected device memory, aligned to 256 bytes, got " + simt::describe_address(workspace));
  handle->workspace = workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->pointers = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t) {
  return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}
const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR: return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown cuBLAS status";
}
const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }
cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t opa, cublasOperation_t opb, int m, int n, int k,
                              const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta,
                              float* c, int ldc) {
  return simt::gemm(handle, "cublasSgemm", opa, opb, m, n, k, alpha, a, CUDA_R_32F, lda, 0, b, CUDA_R_32F, ldb, 0, beta,
                    c, CUDA_R_32F, ldc, 0, 1, CUBLAS_COMPUTE_32F);
}
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t opa, cublasOperation_t opb, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  return simt::gemm(handle, "cublasGemmEx", opa, opb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                    c_type, ldc, 0, 1, compute);
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t opa, cublasOperation_t opb, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType a_type, int lda,
                                          long long a_stride, const void* b, cudaDataType b_type, int ldb,
                                          long long b_stride, const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long c_stride, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  return simt::gemm(handle, "cublasGemmStridedBatchedEx", opa, opb, m, n, k, alpha, a, a_type, lda, a_stride, b, b_type,
                    ldb, b_stride, beta, c, c_type, ldc, c_stride, batch, compute);
}
