// Layer normalisation over the last dimension, as torch.nn.LayerNorm(N).
//   x (B, R, N), gamma, beta (N) -> y (B, R, N), keeps mean and rstd (B, R); gamma and beta may be null (1 and 0)
// Strategy  a row is normalised by one task in two passes; dgamma and dbeta are summed over at most 16 chunks of rows.
// Cost      8 bytes an element forward, 20 backward: bound by memory where rows are long.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

namespace tenon::kernels {

inline constexpr int layer_norm_chunks = 16;

/// Elements of T in the backward's `work`: two sums a chunk and column.
constexpr std::size_t layer_norm_workspace(int n) {
  return static_cast<std::size_t>(2 * layer_norm_chunks) * static_cast<std::size_t>(n);
}

/// Rows of a chunk, by the number of rows alone.
constexpr std::size_t layer_norm_grain(std::size_t rows) {
  const std::size_t share = (rows + layer_norm_chunks - 1) / layer_norm_chunks;
  return share < 8 ? 8 : share;
}

namespace portable {

template <class T>
void layer_norm_row(const T* x, int n, const T* gamma, const T* beta, T epsilon, T* y, T* mean, T* rstd) {
  T s = 0, q = 0;
  for (int i = 0; i < n; ++i) s += x[i];
  const T mu = s / static_cast<T>(n);
  for (int i = 0; i < n; ++i) q += (x[i] - mu) * (x[i] - mu);
  const T r = T(1) / std::sqrt(q / static_cast<T>(n) + epsilon);
  for (int i = 0; i < n; ++i) {
    const T hat = (x[i] - mu) * r;
    y[i] = hat * (gamma ? gamma[i] : T(1)) + (beta ? beta[i] : T(0));
  }
  if (mean) *mean = mu;
  if (rstd) *rstd = r;
}

/// dx of one row, and its share of dgamma and dbeta (null: not wanted).
template <class T>
void layer_norm_row_backward(const T* x, const T* dy, int n, const T* gamma, T mean, T rstd, T* dx, bool add, T* dgamma,
                             T* dbeta) {
  T s = 0, q = 0;  // sums of dhat and dhat * hat
  for (int i = 0; i < n; ++i) {
    const T hat = (x[i] - mean) * rstd, dhat = dy[i] * (gamma ? gamma[i] : T(1));
    s += dhat;
    q += dhat * hat;
    if (dgamma) dgamma[i] += dy[i] * hat;
    if (dbeta) dbeta[i] += dy[i];
  }
  if (!dx) return;
  s /= static_cast<T>(n);
  q /= static_cast<T>(n);
  for (int i = 0; i < n; ++i) {
    const T hat = (x[i] - mean) * rstd, dhat = dy[i] * (gamma ? gamma[i] : T(1));
    const T d = rstd * (dhat - s - hat * q);
    dx[i] = add ? dx[i] + d : d;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

struct RowSum {
  const float* x;
  __m256 total;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) { total = _mm256_add_ps(total, load(x + i, live)); }
};

struct RowSquares {
  const float* x;
  __m256 mean, total;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 d = only(_mm256_sub_ps(load(x + i, live), mean), live);
    total = _mm256_fmadd_ps(d, d, total);
  }
};

struct RowNormalise {
  const float *x, *gamma, *beta;
  __m256 mean, rstd;
  float* y;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    __m256 v = _mm256_mul_ps(_mm256_sub_ps(load(x + i, live), mean), rstd);
    if (gamma) v = _mm256_mul_ps(v, load(gamma + i, live));
    store(y + i, live, beta ? _mm256_add_ps(v, load(beta + i, live)) : v);
  }
};

TENON_AVX2 inline void layer_norm_row(const float* x, int n, const float* gamma, const float* beta, float epsilon,
                                      float* y, float* mean, float* rstd) {
  const std::size_t width = static_cast<std::size_t>(n);
  RowSum s{x, _mm256_setzero_ps()};
  for_each_vector(0, width, s);
  const float mu = sum(s.total) / static_cast<float>(n);
  RowSquares q{x, _mm256_set1_ps(mu), _mm256_setzero_ps()};
  for_each_vector(0, width, q);
  const float r = 1 / std::sqrt(sum(q.total) / static_cast<float>(n) + epsilon);
  RowNormalise out{x, gamma, beta, _mm256_set1_ps(mu), _mm256_set1_ps(r), y};
  for_each_vector(0, width, out);
  if (mean) *mean = mu;
  if (rstd) *rstd = r;
}

struct RowGradientSums {
  const float *x, *dy, *gamma;
  __m256 mean, rstd, s, q;
  float *dgamma, *dbeta;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 d = load(dy + i, live), dhat = gamma ? _mm256_mul_ps(d, load(gamma + i, live)) : d;
    const __m256 hat = only(_mm256_mul_ps(_mm256_sub_ps(load(x + i, live), mean), rstd), live);
    s = _mm256_add_ps(s, dhat);
    q = _mm256_fmadd_ps(dhat, hat, q);
    if (dgamma) store(dgamma + i, live, _mm256_fmadd_ps(d, hat, load(dgamma + i, live)));
    if (dbeta) store(dbeta + i, live, _mm256_add_ps(d, load(dbeta + i, live)));
  }
};

struct RowInputGradient {
  const float *x, *dy, *gamma;
  __m256 mean, rstd, s, q;
  float* dx;
  bool add;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 d = load(dy + i, live), dhat = gamma ? _mm256_mul_ps(d, load(gamma + i, live)) : d;
    const __m256 hat = _mm256_mul_ps(_mm256_sub_ps(load(x + i, live), mean), rstd);
    const __m256 g = _mm256_mul_ps(rstd, _mm256_fnmadd_ps(hat, q, _mm256_sub_ps(dhat, s)));
    store(dx + i, live, add ? _mm256_add_ps(load(dx + i, live), g) : g);
  }
};

TENON_AVX2 inline void layer_norm_row_backward(const float* x, const float* dy, int n, const float* gamma, float mean,
                                               float rstd, float* dx, bool add, float* dgamma, float* dbeta) {
  const std::size_t width = static_cast<std::size_t>(n);
  const __m256 zero = _mm256_setzero_ps(), mu = _mm256_set1_ps(mean), r = _mm256_set1_ps(rstd);
  RowGradientSums sums{x, dy, gamma, mu, r, zero, zero, dgamma, dbeta};
  for_each_vector(0, width, sums);
  if (!dx) return;
  const __m256 s = _mm256_set1_ps(sum(sums.s) / static_cast<float>(n)),
               q = _mm256_set1_ps(sum(sums.q) / static_cast<float>(n));
  RowInputGradient out{x, dy, gamma, mu, r, s, q, dx, add};
  for_each_vector(0, width, out);
}

}  // namespace avx2
#endif

template <class T, int R, int N>
void layer_norm_forward(Cpu& dev, std::type_identity_t<In<T, Batch, R, N>> x, std::type_identity_t<In<T, N>> gamma,
                        std::type_identity_t<In<T, N>> beta, std::type_identity_t<T> epsilon, Out<T, Batch, R, N> y,
                        std::type_identity_t<Out<T, Batch, R>> mean, std::type_identity_t<Out<T, Batch, R>> rstd) {
  const std::size_t rows = static_cast<std::size_t>(x.batch) * R;
  dev.parallel_chunks(rows, layer_norm_grain(rows), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      T* const mu = mean ? mean.data + r : nullptr;
      T* const scale = rstd ? rstd.data + r : nullptr;
      const T* const row = x.data + r * N;
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (takes_avx2<T>(dev)) {
          avx2::layer_norm_row(row, N, gamma.data, beta.data, epsilon, y.data + r * N, mu, scale);
          continue;
        }
#endif
      portable::layer_norm_row(row, N, gamma.data, beta.data, epsilon, y.data + r * N, mu, scale);
    }
  });
}

/// dx may be dy.
template <class T, int R, int N>
void layer_norm_backward(Cpu& dev, std::type_identity_t<In<T, Batch, R, N>> x, std::type_identity_t<In<T, N>> gamma,
                         std::type_identity_t<In<T, Batch, R>> mean, std::type_identity_t<In<T, Batch, R>> rstd,
                         std::type_identity_t<In<T, Batch, R, N>> dy, Into<T, Batch, R, N> dx, Into<T, N> dgamma,
                         Into<T, N> dbeta, Span<T> work) {
  const std::size_t rows = static_cast<std::size_t>(x.batch) * R, grain = layer_norm_grain(rows);
  dev.parallel_chunks(rows, grain, [&](std::size_t begin, std::size_t end) {
    T* const sums = work.data + begin / grain * 2 * N;  // dgamma (N), dbeta (N)
    for (int i = 0; i < 2 * N; ++i) sums[i] = 0;
    T* const sum_gamma = dgamma ? sums : nullptr;
    T* const sum_beta = dbeta ? sums + N : nullptr;
    for (std::size_t r = begin; r < end; ++r) {
      const T *const row = x.data + r * N, *const drow = dy.data + r * N;
      T* const out = dx ? dx.data + r * N : nullptr;
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (takes_avx2<T>(dev)) {
          avx2::layer_norm_row_backward(row, drow, N, gamma.data, mean[r], rstd[r], out, dx.add, sum_gamma, sum_beta);
          continue;
        }
#endif
      portable::layer_norm_row_backward(row, drow, N, gamma.data, mean[r], rstd[r], out, dx.add, sum_gamma, sum_beta);
    }
  });
  for (int i = 0; i < N; ++i) {
    T sg = 0, sb = 0;
    for (std::size_t done = 0; done < rows; done += grain) {
      sg += work[done / grain * 2 * N + i];
      sb += work[done / grain * 2 * N + N + i];
    }
    if (dgamma) dgamma[i] = (dgamma.add ? dgamma[i] : T(0)) + sg;
    if (dbeta) dbeta[i] = (dbeta.add ? dbeta[i] : T(0)) + sb;
  }
}

}  // namespace tenon::kernels
