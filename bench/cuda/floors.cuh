// Lower bounds (floors) of a kernel's time, measured in the run that reports them. No kernel can be faster than
//   bytes / copy_large          a copy between arrays larger than all caches (copy_small: arrays that fit in L2)
//   operations / fma            float FMAs outside tensor cores
//   operations / tf32, bf16     mma.sync. Since Hopper cuBLAS uses faster instructions; tenon does not
//   node                        an empty kernel as a node of a graph
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "cuda/measure.cuh"
#include "tenon/cuda/launch.cuh"

namespace tenon::bench {

// --- kernels ------------------------------------------------------------------------------------------------------------

template <int Pieces>
__global__ void copy_pieces(const float* from, float* to, std::size_t pieces) {
  using namespace kernels::cuda;
  const std::size_t first = static_cast<std::size_t>(blockIdx.x) * blockDim.x * Pieces + threadIdx.x;
  Wide<float> w[Pieces] = {};
  TENON_UNROLL
  for (int i = 0; i < Pieces; ++i) {
    const std::size_t at = first + static_cast<std::size_t>(i) * blockDim.x;
    if (at < pieces) w[i] = load_wide(from + at * 4);
  }
  TENON_UNROLL
  for (int i = 0; i < Pieces; ++i) {
    const std::size_t at = first + static_cast<std::size_t>(i) * blockDim.x;
    if (at < pieces) store_wide(to + at * 4, w[i]);
  }
}

inline constexpr int fma_chains_each = 8, fma_unrolled = 16, mma_chains_each = 8;

// v = v a + b in independent chains, in registers. With a < 1 no value grows.
template <int Chains>
__global__ void fma_chains(float* out, int rounds, float a, float b) {
  float v[Chains];
  TENON_UNROLL
  for (int c = 0; c < Chains; ++c) v[c] = static_cast<float>(threadIdx.x + static_cast<unsigned>(c)) * 1e-3f;
  for (int r = 0; r < rounds; ++r) {
    TENON_UNROLL
    for (int u = 0; u < fma_unrolled; ++u) {
      TENON_UNROLL
      for (int c = 0; c < Chains; ++c) v[c] = fmaf(v[c], a, b);
    }
  }
  float sum = 0;
  TENON_UNROLL
  for (int c = 0; c < Chains; ++c) sum += v[c];
  if (sum == 12345.0f) *out = sum;  // prevents the compiler from removing the sums
}

template <bool Tf32>
__global__ void mma_chains(float* out, int rounds) {
  using namespace kernels::cuda;
  const float x = static_cast<float>(threadIdx.x % 7u) * 0.25f - 0.5f;
  std::uint32_t a[4], b[2];
  TENON_UNROLL
  for (int i = 0; i < 4; ++i) a[i] = Tf32 ? to_tf32(x) : to_bf16x2(x, -x);
  TENON_UNROLL
  for (int i = 0; i < 2; ++i) b[i] = Tf32 ? to_tf32(-x) : to_bf16x2(x, x);
  float c[mma_chains_each][4] = {};
  for (int r = 0; r < rounds; ++r) {
    TENON_UNROLL
    for (int k = 0; k < mma_chains_each; ++k) {
      if constexpr (Tf32)
        mma_tf32(c[k], a, b);
      else
        mma_bf16(c[k], a, b);
    }
  }
  float sum = 0;
  TENON_UNROLL
  for (int k = 0; k < mma_chains_each; ++k) sum += c[k][0] + c[k][1] + c[k][2] + c[k][3];
  if (sum == 12345.0f) *out = sum;
}

template <class T>
__global__ void does_nothing(T*) {}

// --- floors -------------------------------------------------------------------------------------------------------------

struct Floors {
  double copy_large = 0, copy_small = 0, memcpy_large = 0;        // bytes/us, read plus written
  double fma = 0, tf32 = 0, bf16 = 0;                             // operations/us
  double node = 0, graph_launch = 0, round_trip = 0, launch = 0;  // us
  std::size_t cache = 0;                                          // bytes of the L2 cache
};

/// Bytes/us of copying `bytes` with the fastest of three kernels.
inline double copy_rate(Cuda& dev, const Effort& effort, std::size_t bytes) {
  const std::size_t n = bytes / 4, pieces = n / 4;
  kernels::CudaBuffer<float> from(n), to(n);
  double best = 0;
  const auto offer = [&]<int Pieces>(std::integral_constant<int, Pieces>) {
    constexpr unsigned threads = 256;
    const Timing t = time_of(dev, effort, [&] {
      kernels::cuda::launch(dev, "copy_pieces", copy_pieces<Pieces>,
                            {kernels::cuda::blocks_for(pieces, std::size_t{threads} * Pieces)}, {threads}, 0,
                            from.data(), to.data(), pieces);
    });
    best = std::max(best, 2.0 * static_cast<double>(pieces * 16) / t.us);
  };
  offer(std::integral_constant<int, 1>{});
  offer(std::integral_constant<int, 2>{});
  offer(std::integral_constant<int, 4>{});
  return best;
}

inline Floors measure_floors(Cuda& dev, const Effort& effort, bool tiny) {
  Floors f;
  cudaDeviceProp p{};
  kernels::detail::check(cudaGetDeviceProperties(&p, dev.state().ordinal), "cudaGetDeviceProperties");
  f.cache = static_cast<std::size_t>(p.l2CacheSize);
  const unsigned blocks = tiny ? 2 : static_cast<unsigned>(p.multiProcessorCount) * 8, threads = tiny ? 64 : 256;
  const int rounds = tiny ? 2 : 4096;
  const double all_threads = static_cast<double>(blocks) * threads;

  kernels::CudaBuffer<float> out(1);
  const auto fma = [&] {
    return time_of(dev, effort, [&] {
      kernels::cuda::launch(dev, "fma_chains", fma_chains<fma_chains_each>, {blocks}, {threads}, 0, out.data(), rounds,
                            0.999f, 0.001f);
    });
  };
  fma();  // the first measurement includes the rise of the clock
  f.fma = 2.0 * fma_chains_each * fma_unrolled * rounds * all_threads / fma().us;
  const auto mma = [&]<bool Tf32>(std::bool_constant<Tf32>) {
    const Timing t = time_of(dev, effort, [&] {
      kernels::cuda::launch(dev, "mma_chains", mma_chains<Tf32>, {blocks}, {threads}, 0, out.data(), rounds);
    });
    return 2.0 * 16 * 8 * (Tf32 ? 8 : 16) * mma_chains_each * rounds * all_threads / 32 / t.us;
  };
  f.tf32 = mma(std::true_type{});
  f.bf16 = mma(std::false_type{});

  const std::size_t large = tiny ? std::size_t{1} << 12 : std::size_t{256} << 20;
  f.copy_large = copy_rate(dev, effort, large);
  f.copy_small = copy_rate(dev, effort, tiny ? large : f.cache / 8);
  {
    kernels::CudaBuffer<float> from(large / 4), to(large / 4);
    const Timing t = time_of(dev, effort, [&] { copy(dev, from.data(), to.data(), large / 4); });
    f.memcpy_large = 2.0 * static_cast<double>(large) / t.us;
  }

  // A node of a graph of 1000, and the host time of launches: of a graph, of a graph including the wait, of a kernel.
  const int nodes = tiny ? 10 : 1000;
  const auto nothing = [&] {
    kernels::cuda::launch(dev, "does_nothing", does_nothing<float>, {1}, {32}, 0, out.data());
  };
  f.node = time_of(dev, {0, 1, effort.samples},
                   [&] {
                     for (int i = 0; i < nodes; ++i) nothing();
                   })
               .us /
           nodes;
  const Graph one(dev, 1, nothing);
  const auto host_us = [&](const auto& call, bool wait_each) {
    std::vector<double> us;
    const int calls = tiny ? 2 : 50;
    for (int i = 0; i < effort.samples; ++i) {
      wait(dev);
      const auto start = std::chrono::steady_clock::now();
      for (int k = 0; k < calls; ++k) {
        call();
        if (wait_each) wait(dev);
      }
      us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / calls);
    }
    wait(dev);
    return timing_of(std::move(us)).us;
  };
  host_us([&] { one.launch(); }, false);
  f.graph_launch = host_us([&] { one.launch(); }, false);
  f.round_trip = host_us([&] { one.launch(); }, true);
  f.launch = host_us(nothing, false);
  return f;
}

}  // namespace tenon::bench
