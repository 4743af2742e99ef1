// Limits (floors) measured on this machine in the run that reports them. No kernel can be faster.
//   fma_peak(threads)            GFLOP/s of float, from 12 independent chains of AVX2 FMAs on each thread
//   memory_bandwidth(bytes)      GB/s of a triad over arrays of `bytes` in total
// SPDX-License-Identifier: MIT
#pragma once

#include <time.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "tenon/cpu/vec.hpp"

namespace tenon::bench {

#if TENON_X86
TENON_AVX2 inline float fma_chains(long rounds) {
  __m256 v[12];
  for (int i = 0; i < 12; ++i) v[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  __m256 v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3], v4 = v[4], v5 = v[5], v6 = v[6], v7 = v[7], v8 = v[8], v9 = v[9],
         v10 = v[10], v11 = v[11];
  for (long r = 0; r < rounds; ++r) {
    v0 = _mm256_fmadd_ps(v0, a, b), v1 = _mm256_fmadd_ps(v1, a, b), v2 = _mm256_fmadd_ps(v2, a, b),
    v3 = _mm256_fmadd_ps(v3, a, b);
    v4 = _mm256_fmadd_ps(v4, a, b), v5 = _mm256_fmadd_ps(v5, a, b), v6 = _mm256_fmadd_ps(v6, a, b),
    v7 = _mm256_fmadd_ps(v7, a, b);
    v8 = _mm256_fmadd_ps(v8, a, b), v9 = _mm256_fmadd_ps(v9, a, b), v10 = _mm256_fmadd_ps(v10, a, b),
    v11 = _mm256_fmadd_ps(v11, a, b);
  }
  const __m256 s = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(v0, v1), _mm256_add_ps(v2, v3)),
                                 _mm256_add_ps(_mm256_add_ps(v4, v5), _mm256_add_ps(v6, v7)));
  return kernels::avx2::sum(_mm256_add_ps(s, _mm256_add_ps(_mm256_add_ps(v8, v9), _mm256_add_ps(v10, v11))));
}
#endif

/// CPU seconds of this thread. Time that other threads take on the same core does not count.
inline double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// The best of ten bursts of about 10 ms, in the threads' CPU time; 0 without AVX2.
inline double fma_peak(int threads) {
#if TENON_X86
  if (detect_isa() != Isa::avx2) return 0;
  constexpr long rounds = 2'000'000;
  double best = 0;
  for (int burst = 0; burst < 10; ++burst) {
    std::vector<std::thread> others;
    std::vector<double> rate(static_cast<std::size_t>(threads));
    const auto run = [&](int t) {
      const double start = thread_seconds();
      const float sum = fma_chains(rounds);
      rate[static_cast<std::size_t>(t)] = rounds * 12.0 * 16 / (thread_seconds() - start) * 1e-9;
      if (sum == 12345.0f) rate[static_cast<std::size_t>(t)] = 0;  // prevents the compiler from removing the sums
    };
    for (int t = 1; t < threads; ++t) others.emplace_back(run, t);
    run(0);
    for (auto& o : others) o.join();
    double sum = 0;
    for (const double r : rate) sum += r;
    best = std::max(best, sum);
  }
  return best;
#else
  (void)threads;
  return 0;
#endif
}

inline void triad(float* a, const float* b, const float* c, float s, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) a[i] = b[i] + s * c[i];
}
#if TENON_X86
TENON_AVX2 inline void triad_avx2(float* a, const float* b, const float* c, float s, std::size_t n) {
  const __m256 v = _mm256_set1_ps(s);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    _mm256_storeu_ps(a + i, _mm256_fmadd_ps(v, _mm256_loadu_ps(c + i), _mm256_loadu_ps(b + i)));
    _mm256_storeu_ps(a + i + 8, _mm256_fmadd_ps(v, _mm256_loadu_ps(c + i + 8), _mm256_loadu_ps(b + i + 8)));
  }
  triad(a + i, b + i, c + i, s, n - i);
}
#endif

/// GB/s of a = b + s c over three arrays of `bytes` in total. Counts the bytes read and written, without the reads that
/// writes cause.
inline double memory_bandwidth(std::size_t bytes) {
  const std::size_t n = bytes / (3 * sizeof(float));
  std::vector<float> a(n, 1), b(n, 2), c(n, 3);
  auto* run = triad;
#if TENON_X86
  if (detect_isa() == Isa::avx2) run = triad_avx2;
#endif
  double best = 0;
  for (int r = 0; r < 40; ++r) {
    const std::size_t passes = std::max<std::size_t>(1, (std::size_t{32} << 20) / bytes);
    const double start = thread_seconds();
    for (std::size_t p = 0; p < passes; ++p) {
      run(a.data(), b.data(), c.data(), 0.5f + static_cast<float>(p % 2), n);
      __asm__ volatile("" : : "r"(a.data()) : "memory");
    }
    best =
        std::max(best, static_cast<double>(passes) * static_cast<double>(n) * 12 / (thread_seconds() - start) * 1e-9);
  }
  return best;
}

}  // namespace tenon::bench
