// Compares the stand-in for cuBLAS with plain loops in double: transposes, leading dimensions, batches, types. Also
// tests the calls that it rejects.
// SPDX-License-Identifier: MIT
#include <cublas_v2.h>
#include <cuda_bf16.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "simt/support.hpp"

namespace {

struct Blas {
  cublasHandle_t handle = nullptr;
  Device<char> workspace{4096};
  Blas() {
    REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetWorkspace(handle, workspace.data, workspace.size) == CUBLAS_STATUS_SUCCESS);
  }
  ~Blas() { cublasDestroy(handle); }
};

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

float rounded(float v, int bits) {  // to `bits` bits of mantissa, including the leading one
  int e = 0;
  const float m = std::frexp(v, &e);
  return std::ldexp(std::nearbyint(std::ldexp(m, bits)), e - bits);
}

std::vector<__nv_bfloat16> halves(const std::vector<float>& v) {
  std::vector<__nv_bfloat16> h;
  for (float x : v) h.push_back(__float2bfloat16_rn(x));
  return h;
}

}  // namespace

TEST_CASE("a product by columns, with every transpose and wide leading dimensions") {
  Blas blas;
  const int m = 7, n = 5, k = 9;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const float beta : {0.0f, 0.5f}) {
        const int lda = (ta ? k : m) + 3, ldb = (tb ? n : k) + 1, ldc = m + 2;
        const auto a = numbers(static_cast<std::size_t>(lda * (ta ? m : k)), 1);
        const auto b = numbers(static_cast<std::size_t>(ldb * (tb ? k : n)), 2);
        auto c = numbers(static_cast<std::size_t>(ldc * n), 3);
        if (beta == 0) std::fill(c.begin(), c.end(), not_a_number);  // must not be read
        Device<float> da(a), db(b), dc(c);
        const float alpha = 2;
        REQUIRE(cublasSgemm(blas.handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k,
                            &alpha, da.data, lda, db.data, ldb, &beta, dc.data, ldc) == CUBLAS_STATUS_SUCCESS);
        const auto out = dc.read();
        for (int j = 0; j < n; ++j)
          for (int i = 0; i < ldc; ++i) {
            const auto at = static_cast<std::size_t>(j * ldc + i);
            if (i >= m) {  // padding between columns is not written
              REQUIRE(std::memcmp(&out[at], &c[at], 4) == 0);
              continue;
            }
            double sum = 0;
            for (int l = 0; l < k; ++l)
              sum += double(a[static_cast<std::size_t>(ta ? i * lda + l : l * lda + i)]) *
                     b[static_cast<std::size_t>(tb ? l * ldb + j : j * ldb + l)];
            REQUIRE(out[at] == Approx(2 * sum + (beta != 0 ? double(beta) * c[at] : 0)).margin(1e-5));
          }
      }
}

TEST_CASE("batches lie strides apart, and one operand may serve all") {
  Blas blas;
  const int m = 3, n = 2, k = 4, batch = 3;
  const auto a = numbers(m * k, 1), b = numbers(k * n * batch, 2);
  Device<float> da(a), db(b), dc(static_cast<std::size_t>(m * n * batch));
  const float one = 1, zero = 0;
  REQUIRE(cublasGemmStridedBatchedEx(blas.handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, da.data, CUDA_R_32F, m, 0,
                                     db.data, CUDA_R_32F, k, k * n, &zero, dc.data, CUDA_R_32F, m, m * n, batch,
                                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
  const auto c = dc.read();
  for (int s = 0; s < batch; ++s)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < m; ++i) {
        double sum = 0;
        for (int l = 0; l < k; ++l)
          sum += double(a[static_cast<std::size_t>(l * m + i)]) * b[static_cast<std::size_t>((s * n + j) * k + l)];
        REQUIRE(c[static_cast<std::size_t>((s * n + j) * m + i)] == Approx(sum).margin(1e-5));
      }
}

TEST_CASE("operands are rounded as the compute type and the math mode say") {
  Blas blas;
  const float one = 1, zero = 0, x = 1.0f + 1.0f / 4096 + 1.0f / 1024, y = 1.0f + 1.0f / 300;
  Device<float> a(std::vector<float>{x}), b(std::vector<float>{y}), c(std::size_t(1));
  const auto product = [&](cublasComputeType_t compute) {
    REQUIRE(cublasGemmEx(blas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data, CUDA_R_32F, 1, b.data,
                         CUDA_R_32F, 1, &zero, c.data, CUDA_R_32F, 1, compute,
                         CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    return c.read()[0];
  };
  const float full = x * y, tf32 = rounded(x, 11) * rounded(y, 11), bf16 = rounded(x, 8) * rounded(y, 8);
  REQUIRE(full != tf32);
  REQUIRE(tf32 != bf16);
  CHECK(product(CUBLAS_COMPUTE_32F) == full);
  CHECK(product(CUBLAS_COMPUTE_32F_FAST_TF32) == tf32);
  CHECK(product(CUBLAS_COMPUTE_32F_FAST_16BF) == bf16);
  REQUIRE(cublasSetMathMode(blas.handle, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS);
  CHECK(product(CUBLAS_COMPUTE_32F) == tf32);
  CHECK(product(CUBLAS_COMPUTE_32F_PEDANTIC) == full);
}

TEST_CASE("bf16 operands give float or bf16") {
  Blas blas;
  const int n = 6;
  const auto a = halves(numbers(n * n, 1)), b = halves(numbers(n * n, 2));
  Device<__nv_bfloat16> da(a), db(b), dh(std::size_t(n * n));
  Device<float> df(std::size_t(n * n));
  const float one = 1, zero = 0;
  for (const bool half : {false, true})
    REQUIRE(cublasGemmEx(blas.handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, da.data, CUDA_R_16BF, n, db.data,
                         CUDA_R_16BF, n, &zero, half ? static_cast<void*>(dh.data) : df.data,
                         half ? CUDA_R_16BF : CUDA_R_32F, n, CUBLAS_COMPUTE_32F,
                         CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
  const auto f = df.read();
  const auto h = dh.read();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t l = 0; l < n; ++l) sum += double(float(a[l * n + i])) * float(b[j * n + l]);
      REQUIRE(f[j * n + i] == Approx(sum).margin(1e-6));
      REQUIRE(float(h[j * n + i]) == rounded(f[j * n + i], 8));
    }
}

TEST_CASE("double products are made in double") {
  Blas blas;
  const double one = 1, zero = 0;
  Device<double> a(std::vector<double>{1 + 1e-12}), b(std::vector<double>{3}), c(std::size_t(1));
  REQUIRE(cublasGemmEx(blas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data, CUDA_R_64F, 1, b.data, CUDA_R_64F,
                       1, &zero, c.data, CUDA_R_64F, 1, CUBLAS_COMPUTE_64F,
                       CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
  CHECK(c.read()[0] == (1 + 1e-12) * 3);
}

TEST_CASE("cuBLAS refuses what it cannot do") {
  const Restored restored;
  simt::options().quiet = true;
  Blas blas;
  Device<float> a(12), b(12), c(12);
  const float one = 1, zero = 0;
  std::vector<float> host(12);
  const auto gemm = [&](int lda, int m, const float* from, cublasComputeType_t compute = CUBLAS_COMPUTE_32F) {
    return cublasGemmEx(blas.handle, CUBLAS_OP_N, CUBLAS_OP_N, m, 3, 4, &one, from, CUDA_R_32F, lda, b.data, CUDA_R_32F,
                        4, &zero, c.data, CUDA_R_32F, 3, compute, CUBLAS_GEMM_DEFAULT);
  };
  CHECK(gemm(3, 3, a.data) == CUBLAS_STATUS_SUCCESS);
  CHECK(gemm(2, 3, a.data) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK_THAT(simt::last_report(), ContainsSubstring("expected a leading dimension of A of at least 3, got 2"));
  CHECK(gemm(3, -1, a.data) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(gemm(3, 3, host.data()) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(gemm(3, 3, a.data + 1) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_THAT(simt::last_report(), ContainsSubstring("expected 48 bytes of A on the device"));
  CHECK(gemm(3, 3, a.data, CUBLAS_COMPUTE_64F) == CUBLAS_STATUS_NOT_SUPPORTED);
  REQUIRE(cublasSetStream(blas.handle, nullptr) == CUBLAS_STATUS_SUCCESS);  // resets the workspace
  CHECK(gemm(3, 3, a.data) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK_THAT(simt::last_report(), ContainsSubstring("a workspace"));
  CHECK(cublasSetWorkspace(blas.handle, host.data(), 48) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}
