// Batch normalization of each channel over batch and space, as torch.nn.BatchNorm1d and 2d.
//   x (B, S, C), gamma, beta (C) -> y (B, S, C)     S = h * w, or 1; gamma and beta may be null (1 and 0)
//   training stores mean and rstd = 1 / sqrt(var + eps) (C) for the backward pass. It moves the running statistics by
//   `momentum`, with the unbiased variance, unless the StepState is stopped.
// Strategy  rows are split into at most 16 chunks, and chunks into blocks of 64 rows that stay in L1. The mean and M2 (the
//           sum of squared deviations) of a block take two passes. Chan's formula merges blocks, then chunks, in order.
//           The sums of the backward pass use the same chunks and blocks.
// Cost      training 12 bytes per element, inference 8, backward 20: bound by memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/common/batch_norm.hpp"
#include "tenon/core/math.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/math.hpp"
#include "tenon/cpu/vec.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr int batch_norm_chunks = 16, batch_norm_block = 64;

/// Elements of T in `work`: two sums per chunk and channel, and three factors per channel.
constexpr std::size_t batch_norm_workspace(int channels) {
  return static_cast<std::size_t>(2 * batch_norm_chunks + 3) * static_cast<std::size_t>(channels);
}

/// Rows of a chunk: a multiple of the block that depends on the number of rows only.
constexpr std::size_t batch_norm_grain(std::size_t rows) {
  const std::size_t blocks = (rows + batch_norm_block - 1) / batch_norm_block;
  return (blocks + batch_norm_chunks - 1) / batch_norm_chunks * batch_norm_block;
}

/// The factors of the channels, as arrays (C). gamma and beta may be null. rstd is null in inference, var in training.
template <class T>
struct BatchNormFactors {
  const T *mean, *rstd, *var, *gamma, *beta;
  T epsilon;

  /// y = (x - mean) * scale + shift
  TENON_INLINE void get(std::size_t c, T& scale, T& shift) const {
    const T r = rstd ? rstd[c] : T(1) / math::sqrt(var[c] + epsilon);
    scale = gamma ? gamma[c] * r : r;
    shift = beta ? beta[c] : T(0);
  }
};

namespace portable {

/// mean and m2 (C) of x (rows, C), merged from blocks. A block subtracts its first row before it sums, so a mean far from 0
/// loses no digits, and equal values have variance 0.
template <class T>
void moments(const T* x, std::size_t rows, int channels, T* mean, T* m2) {
  for (std::size_t done = 0; done < rows; done += batch_norm_block) {
    const std::size_t n = rows - done < batch_norm_block ? rows - done : batch_norm_block;
    const T* const block = x + done * channels;
    const T share = static_cast<T>(n) / static_cast<T>(done + n), both = static_cast<T>(done) * share;
    for (int c = 0; c < channels; ++c) {
      T s = 0, q = 0;
      for (std::size_t r = 0; r < n; ++r) s += block[r * channels + c] - block[c];
      const T mu = block[c] + s / static_cast<T>(n);
      for (std::size_t r = 0; r < n; ++r) {
        const T d = block[r * channels + c] - mu;
        q += d * d;
      }
      const T delta = done ? mu - mean[c] : mu;
      mean[c] = done ? mean[c] + delta * share : mu;
      m2[c] = done ? m2[c] + q + delta * delta * both : q;
    }
  }
}

/// y = (x - mean) * gamma * rstd + beta. If rstd is null, it is computed from the variance.
template <class T>
void normalise_rows(const T* x, std::size_t rows, int channels, const BatchNormFactors<T>& f, T* y) {
  for (std::size_t done = 0; done < rows; done += batch_norm_block) {
    const std::size_t end = rows - done < batch_norm_block ? rows : done + batch_norm_block;
    for (int c = 0; c < channels; ++c) {
      T scale, shift;
      f.get(static_cast<std::size_t>(c), scale, shift);
      for (std::size_t r = done; r < end; ++r) y[r * channels + c] = (x[r * channels + c] - f.mean[c]) * scale + shift;
    }
  }
}

/// sum_dy += dy, sum_dy_x += dy * (x - mean), over the rows
template <class T>
void gradient_sums(const T* x, const T* dy, std::size_t rows, int channels, const T* mean, T* sum_dy, T* sum_dy_x) {
  for (int c = 0; c < channels; ++c) sum_dy[c] = sum_dy_x[c] = 0;
  for (std::size_t done = 0; done < rows; done += batch_norm_block) {
    const std::size_t n = rows - done < batch_norm_block ? rows - done : batch_norm_block;
    for (int c = 0; c < channels; ++c) {
      T s = 0, q = 0;
      for (std::size_t r = done; r < done + n; ++r) {
        s += dy[r * channels + c];
        q += dy[r * channels + c] * (x[r * channels + c] - mean[c]);
      }
      sum_dy[c] += s;
      sum_dy_x[c] += q;
    }
  }
}

/// dx = dy * scale + (x - mean) * by_x + constant
template <class T>
void input_gradient(const T* x, const T* dy, std::size_t rows, int channels, const T* mean, const T* scale,
                    const T* by_x, const T* constant, T* dx, bool accumulate) {
  for (std::size_t r = 0; r < rows; ++r)
    for (int c = 0; c < channels; ++c) {
      const std::size_t i = r * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c);
      const T d = dy[i] * scale[c] + ((x[i] - mean[c]) * by_x[c] + constant[c]);
      dx[i] = accumulate ? dx[i] + d : d;
    }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

/// Four sums, used in turn to hide the latency of an addition.
struct FourSums {
  __m256 a, b, c, d;
  TENON_AVX2_INLINE __m256 total() const { return _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)); }
};

struct Moments {
  const float* block;  // (n, channels)
  std::size_t n, channels, done;
  float *mean, *m2;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const float *row = block + c, *const end = row + n * channels, *const last = row + n / 4 * 4 * channels;
    const std::size_t w = channels;
    const __m256 start = load(row, live);
    FourSums s{}, q{};
    for (; row != last; row += 4 * w) {
      s.a = _mm256_add_ps(s.a, _mm256_sub_ps(load(row, live), start));
      s.b = _mm256_add_ps(s.b, _mm256_sub_ps(load(row + w, live), start));
      s.c = _mm256_add_ps(s.c, _mm256_sub_ps(load(row + 2 * w, live), start));
      s.d = _mm256_add_ps(s.d, _mm256_sub_ps(load(row + 3 * w, live), start));
    }
    for (; row != end; row += w) s.a = _mm256_add_ps(s.a, _mm256_sub_ps(load(row, live), start));
    const __m256 mu = _mm256_add_ps(start, _mm256_div_ps(s.total(), _mm256_set1_ps(static_cast<float>(n))));
    for (row = block + c; row != last; row += 4 * w) {
      const __m256 d0 = _mm256_sub_ps(load(row, live), mu), d1 = _mm256_sub_ps(load(row + w, live), mu);
      const __m256 d2 = _mm256_sub_ps(load(row + 2 * w, live), mu), d3 = _mm256_sub_ps(load(row + 3 * w, live), mu);
      q.a = _mm256_fmadd_ps(d0, d0, q.a);
      q.b = _mm256_fmadd_ps(d1, d1, q.b);
      q.c = _mm256_fmadd_ps(d2, d2, q.c);
      q.d = _mm256_fmadd_ps(d3, d3, q.d);
    }
    for (; row != end; row += w) {
      const __m256 d = _mm256_sub_ps(load(row, live), mu);
      q.a = _mm256_fmadd_ps(d, d, q.a);
    }
    __m256 both = q.total(), merged = mu;
    if (done) {
      const float share = static_cast<float>(n) / static_cast<float>(done + n);
      const __m256 before = load(mean + c, live), delta = _mm256_sub_ps(mu, before);
      merged = _mm256_fmadd_ps(delta, _mm256_set1_ps(share), before);
      both = _mm256_fmadd_ps(_mm256_mul_ps(delta, delta), _mm256_set1_ps(static_cast<float>(done) * share),
                             _mm256_add_ps(load(m2 + c, live), both));
    }
    store(mean + c, live, merged);
    store(m2 + c, live, both);
  }
};

TENON_AVX2 inline void moments(const float* x, std::size_t rows, int channels, float* mean, float* m2) {
  const std::size_t width = static_cast<std::size_t>(channels);
  for (std::size_t done = 0; done < rows; done += batch_norm_block) {
    Moments step{
        x + done * width, rows - done < batch_norm_block ? rows - done : batch_norm_block, width, done, mean, m2};
    for_each_vector(0, width, step);
  }
}

struct NormaliseRow {
  const float *x, *mean, *scale, *shift;
  float* y;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const __m256 centred = _mm256_sub_ps(load(x + c, live), load(mean + c, live));
    store(y + c, live, _mm256_fmadd_ps(centred, load(scale + c, live), load(shift + c, live)));
  }
};

TENON_AVX2 inline void normalise_rows(const float* x, std::size_t rows, int channels, const BatchNormFactors<float>& f,
                                      float* y) {
  constexpr std::size_t tile = 128;  // channels per pass; local arrays hold their factors
  const std::size_t width = static_cast<std::size_t>(channels);
  for (std::size_t done = 0; done < width; done += tile) {
    const std::size_t n = width - done < tile ? width - done : tile;
    float scale[tile], shift[tile];
    for (std::size_t c = 0; c < n; ++c) f.get(done + c, scale[c], shift[c]);
    for (std::size_t r = 0; r < rows; ++r) {
      NormaliseRow step{x + r * width + done, f.mean + done, scale, shift, y + r * width + done};
      for_each_vector(0, n, step);
    }
  }
}

struct GradientSums {
  const float *x, *dy;  // (n, channels)
  std::size_t n, channels;
  const float* mean;
  float *sum_dy, *sum_dy_x;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const float *xr = x + c, *row = dy + c, *const end = row + n * channels, *const last = row + n / 4 * 4 * channels;
    const std::size_t w = channels;
    const __m256 mu = load(mean + c, live);
    FourSums s{}, q{};
    for (; row != last; row += 4 * w, xr += 4 * w) {
      const __m256 d0 = load(row, live), d1 = load(row + w, live), d2 = load(row + 2 * w, live),
                   d3 = load(row + 3 * w, live);
      s.a = _mm256_add_ps(s.a, d0);
      s.b = _mm256_add_ps(s.b, d1);
      s.c = _mm256_add_ps(s.c, d2);
      s.d = _mm256_add_ps(s.d, d3);
      q.a = _mm256_fmadd_ps(d0, _mm256_sub_ps(load(xr, live), mu), q.a);
      q.b = _mm256_fmadd_ps(d1, _mm256_sub_ps(load(xr + w, live), mu), q.b);
      q.c = _mm256_fmadd_ps(d2, _mm256_sub_ps(load(xr + 2 * w, live), mu), q.c);
      q.d = _mm256_fmadd_ps(d3, _mm256_sub_ps(load(xr + 3 * w, live), mu), q.d);
    }
    for (; row != end; row += w, xr += w) {
      const __m256 d = load(row, live);
      s.a = _mm256_add_ps(s.a, d);
      q.a = _mm256_fmadd_ps(d, _mm256_sub_ps(load(xr, live), mu), q.a);
    }
    store(sum_dy + c, live, _mm256_add_ps(load(sum_dy + c, live), s.total()));
    store(sum_dy_x + c, live, _mm256_add_ps(load(sum_dy_x + c, live), q.total()));
  }
};

TENON_AVX2 inline void gradient_sums(const float* x, const float* dy, std::size_t rows, int channels, const float* mean,
                                     float* sum_dy, float* sum_dy_x) {
  const std::size_t width = static_cast<std::size_t>(channels);
  for (int c = 0; c < channels; ++c) sum_dy[c] = sum_dy_x[c] = 0;
  for (std::size_t done = 0; done < rows; done += batch_norm_block) {
    const std::size_t n = rows - done < batch_norm_block ? rows - done : batch_norm_block;
    GradientSums step{x + done * width, dy + done * width, n, width, mean, sum_dy, sum_dy_x};
    for_each_vector(0, width, step);
  }
}

struct InputGradientRow {
  const float *x, *dy, *mean, *scale, *by_x, *constant;
  float* dx;
  bool accumulate;
  TENON_AVX2_INLINE void operator()(std::size_t c, auto live) {
    const __m256 centred = _mm256_sub_ps(load(x + c, live), load(mean + c, live));
    __m256 d = _mm256_fmadd_ps(centred, load(by_x + c, live), load(constant + c, live));
    d = _mm256_fmadd_ps(load(dy + c, live), load(scale + c, live), d);
    store(dx + c, live, accumulate ? _mm256_add_ps(load(dx + c, live), d) : d);
  }
};

TENON_AVX2 inline void input_gradient(const float* x, const float* dy, std::size_t rows, int channels,
                                      const float* mean, const float* scale, const float* by_x, const float* constant,
                                      float* dx, bool accumulate) {
  const std::size_t width = static_cast<std::size_t>(channels);
  for (std::size_t r = 0; r < rows; ++r) {
    InputGradientRow step{x + r * width, dy + r * width, mean, scale, by_x, constant, dx + r * width, accumulate};
    for_each_vector(0, width, step);
  }
}

}  // namespace avx2
#endif

/// Mean and 1 / sqrt(variance + epsilon) of each channel. Moves the running statistics if `moves`.
template <class T>
void batch_norm_statistics(Cpu& dev, const T* x, std::size_t rows, int channels, T epsilon, T momentum, bool moves,
                           T* running_mean, T* running_var, T* mean, T* rstd, T* work) {
  const std::size_t grain = batch_norm_grain(rows), width = static_cast<std::size_t>(channels);
  dev.parallel_chunks(rows, grain, [&](std::size_t begin, std::size_t end) {
    T* const mine = work + begin / grain * 2 * width;  // mean (C), M2 (C)
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) return avx2::moments(x + begin * width, end - begin, channels, mine, mine + width);
#endif
    portable::moments(x + begin * width, end - begin, channels, mine, mine + width);
  });
  for (std::size_t c = 0; c < width; ++c) {
    T mu = work[c], m2 = work[width + c];
    for (std::size_t done = grain; done < rows; done += grain) {
      const T* const chunk = work + done / grain * 2 * width;
      const T n = static_cast<T>(rows - done < grain ? rows - done : grain), before = static_cast<T>(done);
      const T delta = chunk[c] - mu;
      mu += delta * (n / (before + n));
      m2 += chunk[width + c] + delta * delta * (before * (n / (before + n)));
    }
    mean[c] = mu;
    rstd[c] = T(1) / math::sqrt(m2 / static_cast<T>(rows) + epsilon);
    if (!moves) continue;
    const T unbiased = m2 / static_cast<T>(rows > 1 ? rows - 1 : 1);
    running_mean[c] = math::flush_denormal(running_mean[c] + momentum * (mu - running_mean[c]));
    running_var[c] = math::flush_denormal(running_var[c] + momentum * (unbiased - running_var[c]));
  }
}

template <class T>
void batch_norm_normalise(Cpu& dev, const T* x, std::size_t rows, int channels, const BatchNormFactors<T>& f, T* y) {
  const std::size_t width = static_cast<std::size_t>(channels);
  dev.parallel_chunks(rows, batch_norm_grain(rows), [&](std::size_t begin, std::size_t end) {
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return avx2::normalise_rows(x + begin * width, end - begin, channels, f, y + begin * width);
#endif
    portable::normalise_rows(x + begin * width, end - begin, channels, f, y + begin * width);
  });
}

/// dbeta = sum of dy, dgamma = sum of dy xhat, dx = gamma rstd (dy - dbeta / n - xhat dgamma / n).
template <class T>
void batch_norm_gradients(Cpu& dev, const T* x, const T* dy, std::size_t rows, int channels, const T* gamma,
                          const T* mean, const T* rstd, T* dx, bool add_dx, T* dgamma, bool add_dgamma, T* dbeta,
                          bool add_dbeta, T* work) {
  const std::size_t grain = batch_norm_grain(rows), width = static_cast<std::size_t>(channels);
  T* const scale = work + static_cast<std::size_t>(2 * batch_norm_chunks) * width;  // (C)
  T* const by_x = scale + width;                                                    // (C)
  T* const constant = by_x + width;                                                 // (C)
  dev.parallel_chunks(rows, grain, [&](std::size_t begin, std::size_t end) {
    T* const mine = work + begin / grain * 2 * width;  // sum of dy (C), of dy (x - mean) (C)
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return avx2::gradient_sums(x + begin * width, dy + begin * width, end - begin, channels, mean, mine,
                                   mine + width);
#endif
    portable::gradient_sums(x + begin * width, dy + begin * width, end - begin, channels, mean, mine, mine + width);
  });
  for (std::size_t c = 0; c < width; ++c) {
    T sum_dy = work[c], sum_dy_x = work[width + c];
    for (std::size_t done = grain; done < rows; done += grain) {
      const T* const chunk = work + done / grain * 2 * width;
      sum_dy += chunk[c];
      sum_dy_x += chunk[width + c];
    }
    const T n = static_cast<T>(rows);
    scale[c] = gamma ? gamma[c] * rstd[c] : rstd[c];
    by_x[c] = -scale[c] * rstd[c] * rstd[c] * (sum_dy_x / n);
    constant[c] = -scale[c] * (sum_dy / n);
    if (dgamma) dgamma[c] = (add_dgamma ? dgamma[c] : T(0)) + sum_dy_x * rstd[c];
    if (dbeta) dbeta[c] = (add_dbeta ? dbeta[c] : T(0)) + sum_dy;
  }
  if (!dx) return;
  dev.parallel_chunks(rows, grain, [&](std::size_t begin, std::size_t end) {
    const std::size_t at = begin * width;
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return avx2::input_gradient(x + at, dy + at, end - begin, channels, mean, scale, by_x, constant, dx + at,
                                    add_dx);
#endif
    portable::input_gradient(x + at, dy + at, end - begin, channels, mean, scale, by_x, constant, dx + at, add_dx);
  });
}

/// Training: uses the statistics of this batch. `momentum` is the weight of the new value, as in PyTorch (default 0.1).
template <class T, int S, int C>
void batch_norm_forward_training(Cpu& dev, const StepState* step, std::type_identity_t<In<T, Batch, S, C>> x,
                                 std::type_identity_t<In<T, C>> gamma, std::type_identity_t<In<T, C>> beta,
                                 std::type_identity_t<T> epsilon, std::type_identity_t<T> momentum,
                                 Out<T, C> running_mean, Out<T, C> running_var, Out<T, C> saved_mean,
                                 Out<T, C> saved_rstd, Out<T, Batch, S, C> y, Span<T> work) {
  batch_norm_statistics(dev, x.data, static_cast<std::size_t>(x.batch) * S, C, epsilon, momentum, step->stopped == 0,
                        running_mean.data, running_var.data, saved_mean.data, saved_rstd.data, work.data);
  const BatchNormFactors<T> f{saved_mean.data, saved_rstd.data, nullptr, gamma.data, beta.data, epsilon};
  batch_norm_normalise(dev, x.data, static_cast<std::size_t>(x.batch) * S, C, f, y.data);
}

/// Inference: uses the running statistics.
template <class T, int S, int C>
void batch_norm_forward_inference(Cpu& dev, std::type_identity_t<In<T, Batch, S, C>> x,
                                  std::type_identity_t<In<T, C>> gamma, std::type_identity_t<In<T, C>> beta,
                                  std::type_identity_t<T> epsilon, std::type_identity_t<In<T, C>> running_mean,
                                  std::type_identity_t<In<T, C>> running_var, Out<T, Batch, S, C> y) {
  const BatchNormFactors<T> f{running_mean.data, nullptr, running_var.data, gamma.data, beta.data, epsilon};
  batch_norm_normalise(dev, x.data, static_cast<std::size_t>(x.batch) * S, C, f, y.data);
}

/// Gradients of the training mode. dx may be dy.
template <class T, int S, int C>
void batch_norm_backward(Cpu& dev, std::type_identity_t<In<T, Batch, S, C>> x, std::type_identity_t<In<T, C>> gamma,
                         std::type_identity_t<In<T, C>> saved_mean, std::type_identity_t<In<T, C>> saved_rstd,
                         std::type_identity_t<In<T, Batch, S, C>> dy, Into<T, Batch, S, C> dx, Into<T, C> dgamma,
                         Into<T, C> dbeta, Span<T> work) {
  batch_norm_gradients(dev, x.data, dy.data, static_cast<std::size_t>(x.batch) * S, C, gamma.data, saved_mean.data,
                       saved_rstd.data, dx.data, dx.accumulate, dgamma.data, dgamma.accumulate, dbeta.data,
                       dbeta.accumulate, work.data);
}

constexpr WorkspaceSizes batch_norm_workspace_sizes(DeviceTag<Cpu>, int channels) {
  return {.workspace = static_cast<long long>(batch_norm_workspace(channels))};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
