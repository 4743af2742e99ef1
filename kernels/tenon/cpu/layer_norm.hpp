// Layer normalization over the last dimension, as torch.nn.LayerNorm(N).
//   x (B, R, N), gamma, beta (N) -> y (B, R, N), stores mean and rstd (B, R); gamma and beta may be null (1 and 0)
// Strategy  one task normalizes a row. The mean, a sum in T, has an error of a few units in the last place. The pass that
//           sums the squares of x - mean also sums x - mean. The mean of these differences (`drift`) is the error, which is
//           subtracted: a mean of a thousand standard deviations loses no digits, and a row of equal values gives exactly
//           beta. dgamma and dbeta are summed over at most 16 chunks of rows.
// Cost      8 bytes per element forward, 20 backward: bound by memory if rows are long.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/common/layer_norm.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr int layer_norm_chunks = 16;

/// Elements of T in the backward's `work`: two sums per chunk and column.
constexpr std::size_t layer_norm_workspace(int n) {
  return static_cast<std::size_t>(2 * layer_norm_chunks) * static_cast<std::size_t>(n);
}

/// Rows of a chunk. They depend on the number of rows only.
constexpr std::size_t layer_norm_grain(std::size_t rows) {
  const std::size_t share = (rows + layer_norm_chunks - 1) / layer_norm_chunks;
  return share < 8 ? 8 : share;
}

namespace portable {

/// Normalizes `rows` rows. mean and rstd may be null.
template <class T>
void layer_norm(const T* x, std::size_t rows, int n, const T* gamma, const T* beta, T epsilon, T* y, T* mean, T* rstd) {
  for (std::size_t r = 0; r < rows; ++r, x += n, y += n) {
    T total = 0, s = 0, q = 0;
    for (int i = 0; i < n; ++i) total += x[i];
    const T mu = total / static_cast<T>(n);
    for (int i = 0; i < n; ++i) {
      s += x[i] - mu;
      q += (x[i] - mu) * (x[i] - mu);
    }
    const T drift = s / static_cast<T>(n), variance = q / static_cast<T>(n) - drift * drift;
    const T scale = T(1) / math::sqrt((variance < 0 ? T(0) : variance) + epsilon);
    for (int i = 0; i < n; ++i) {
      const T hat = (x[i] - mu - drift) * scale;
      y[i] = hat * (gamma ? gamma[i] : T(1)) + (beta ? beta[i] : T(0));
    }
    if (mean) mean[r] = mu + drift;
    if (rstd) rstd[r] = scale;
  }
}

/// dx of one row. Adds the contribution of the row to dgamma and dbeta. Each may be null.
template <class T>
void layer_norm_row_backward(const T* x, const T* dy, int n, const T* gamma, T mean, T rstd, T* dx, bool accumulate,
                             T* dgamma, T* dbeta) {
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
    dx[i] = accumulate ? dx[i] + d : d;
  }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

// Rows are processed four at a time: their sums are four chains of additions, and one instruction computes their roots, one
// their divisions. The last rows of a chunk are processed one by one, in the same order of operations.

/// Lane k: sum(v[k]).
TENON_AVX2_INLINE __m128 sums(const __m256 (&v)[4]) {
  __m128 s[4];
  TENON_UNROLL
  for (int k = 0; k < 4; ++k) s[k] = _mm_add_ps(_mm256_castps256_ps128(v[k]), _mm256_extractf128_ps(v[k], 1));
  _MM_TRANSPOSE4_PS(s[0], s[1], s[2], s[3]);
  return _mm_add_ps(_mm_add_ps(s[0], s[2]), _mm_add_ps(s[1], s[3]));
}

/// One value per row, in every lane of the row's vector.
struct PerRow {
  __m256 of[4];
  TENON_AVX2_INLINE explicit PerRow(__m128 v) {
    float lane[4];
    _mm_storeu_ps(lane, v);
    TENON_UNROLL
    for (int k = 0; k < 4; ++k) of[k] = _mm256_broadcast_ss(lane + k);
  }
};

template <int Rows>
struct RowSums {
  const float* x;
  std::size_t width;
  __m256 total[4];
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    TENON_UNROLL
    for (int k = 0; k < Rows; ++k) total[k] = _mm256_add_ps(total[k], load(x + k * width + i, live));
  }
};

template <int Rows>
struct RowDeviations {
  const float* x;
  std::size_t width;
  PerRow mu;
  __m256 total[4], squares[4];
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    TENON_UNROLL
    for (int k = 0; k < Rows; ++k) {
      const __m256 d = only(_mm256_sub_ps(load(x + k * width + i, live), mu.of[k]), live);
      total[k] = _mm256_add_ps(total[k], d);
      squares[k] = _mm256_fmadd_ps(d, d, squares[k]);
    }
  }
};

template <int Rows>
struct RowNormalise {
  const float *x, *gamma, *beta;
  std::size_t width;
  PerRow mu, drift, rstd;
  float* y;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 scale = gamma ? load(gamma + i, live) : _mm256_set1_ps(1);
    const __m256 shift = beta ? load(beta + i, live) : _mm256_setzero_ps();
    TENON_UNROLL
    for (int k = 0; k < Rows; ++k) {
      const __m256 d = _mm256_sub_ps(_mm256_sub_ps(load(x + k * width + i, live), mu.of[k]), drift.of[k]);
      store(y + k * width + i, live, _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(d, rstd.of[k]), scale), shift));
    }
  }
};

template <int Rows>
TENON_AVX2_INLINE void layer_norm_rows(const float* x, int n, const float* gamma, const float* beta, float epsilon,
                                       float* y, float* mean, float* rstd) {
  const std::size_t width = static_cast<std::size_t>(n);
  const __m128 count = _mm_set1_ps(static_cast<float>(n));
  RowSums<Rows> s{x, width, {}};
  for_each_vector(0, width, s);
  const __m128 mu = _mm_div_ps(sums(s.total), count);
  RowDeviations<Rows> d{x, width, PerRow(mu), {}, {}};
  for_each_vector(0, width, d);
  const __m128 drift = _mm_div_ps(sums(d.total), count);
  const __m128 variance = _mm_sub_ps(_mm_div_ps(sums(d.squares), count), _mm_mul_ps(drift, drift));
  const __m128 safe = _mm_add_ps(_mm_max_ps(_mm_setzero_ps(), variance), _mm_set1_ps(epsilon));  // keeps NaN
  const __m128 r = _mm_div_ps(_mm_set1_ps(1), _mm_sqrt_ps(safe));
  RowNormalise<Rows> out{x, gamma, beta, width, d.mu, PerRow(drift), PerRow(r), y};
  for_each_vector(0, width, out);
  float means[4], rstds[4];
  _mm_storeu_ps(means, _mm_add_ps(mu, drift));
  _mm_storeu_ps(rstds, r);
  for (int k = 0; k < Rows; ++k) {
    if (mean) mean[k] = means[k];
    if (rstd) rstd[k] = rstds[k];
  }
}

/// Normalizes `rows` rows. mean and rstd may be null.
TENON_AVX2 inline void layer_norm(const float* x, std::size_t rows, int n, const float* gamma, const float* beta,
                                  float epsilon, float* y, float* mean, float* rstd) {
  const std::size_t width = static_cast<std::size_t>(n);
  std::size_t r = 0;
  const auto of = [&](float* kept) { return kept ? kept + r : nullptr; };
  for (; r + 4 <= rows; r += 4)
    layer_norm_rows<4>(x + r * width, n, gamma, beta, epsilon, y + r * width, of(mean), of(rstd));
  for (; r < rows; ++r) layer_norm_rows<1>(x + r * width, n, gamma, beta, epsilon, y + r * width, of(mean), of(rstd));
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
  bool accumulate;
  TENON_AVX2_INLINE void operator()(std::size_t i, auto live) {
    const __m256 d = load(dy + i, live), dhat = gamma ? _mm256_mul_ps(d, load(gamma + i, live)) : d;
    const __m256 hat = _mm256_mul_ps(_mm256_sub_ps(load(x + i, live), mean), rstd);
    const __m256 g = _mm256_mul_ps(rstd, _mm256_fnmadd_ps(hat, q, _mm256_sub_ps(dhat, s)));
    store(dx + i, live, accumulate ? _mm256_add_ps(load(dx + i, live), g) : g);
  }
};

TENON_AVX2 inline void layer_norm_row_backward(const float* x, const float* dy, int n, const float* gamma, float mean,
                                               float rstd, float* dx, bool accumulate, float* dgamma, float* dbeta) {
  const std::size_t width = static_cast<std::size_t>(n);
  const __m256 zero = _mm256_setzero_ps(), mu = _mm256_set1_ps(mean), r = _mm256_set1_ps(rstd);
  RowGradientSums sums{x, dy, gamma, mu, r, zero, zero, dgamma, dbeta};
  for_each_vector(0, width, sums);
  if (!dx) return;
  const __m256 s = _mm256_set1_ps(sum(sums.s) / static_cast<float>(n)),
               q = _mm256_set1_ps(sum(sums.q) / static_cast<float>(n));
  RowInputGradient out{x, dy, gamma, mu, r, s, q, dx, accumulate};
  for_each_vector(0, width, out);
}

}  // namespace avx2
#endif

template <class T, int R, int N>
void layer_norm_forward(Cpu& dev, std::type_identity_t<In<T, Batch, R, N>> x, std::type_identity_t<In<T, N>> gamma,
                        std::type_identity_t<In<T, N>> beta, std::type_identity_t<T> epsilon, Out<T, Batch, R, N> y,
                        std::type_identity_t<Out<T, Batch, R>> mean, std::type_identity_t<Out<T, Batch, R>> rstd) {
  const std::size_t all = static_cast<std::size_t>(x.batch) * R;
  dev.parallel_chunks(all, layer_norm_grain(all), [&](std::size_t begin, std::size_t end) {
    const std::size_t rows = end - begin;
    const T* const from = x.data + begin * N;
    T *const to = y.data + begin * N, *const mu = mean ? mean.data + begin : nullptr,
             *const scale = rstd ? rstd.data + begin : nullptr;
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::layer_norm(from, rows, N, gamma.data, beta.data, epsilon, to, mu, scale);
#endif
    portable::layer_norm(from, rows, N, gamma.data, beta.data, epsilon, to, mu, scale);
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
          avx2::layer_norm_row_backward(row, drow, N, gamma.data, mean[r], rstd[r], out, dx.accumulate, sum_gamma,
                                        sum_beta);
          continue;
        }
#endif
      portable::layer_norm_row_backward(row, drow, N, gamma.data, mean[r], rstd[r], out, dx.accumulate, sum_gamma,
                                        sum_beta);
    }
  });
  for (int i = 0; i < N; ++i) {
    T sg = 0, sb = 0;
    for (std::size_t done = 0; done < rows; done += grain) {
      sg += work[done / grain * 2 * N + i];
      sb += work[done / grain * 2 * N + N + i];
    }
    if (dgamma) dgamma[i] = (dgamma.accumulate ? dgamma[i] : T(0)) + sg;
    if (dbeta) dbeta[i] = (dbeta.accumulate ? dbeta[i] : T(0)) + sb;
  }
}

constexpr WorkspaceSizes layer_norm_workspace_sizes(DeviceTag<Cpu>, int features) {
  return {.workspace = static_cast<long long>(layer_norm_workspace(features))};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
