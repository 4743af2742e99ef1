// Matrix products by our own kernels: one product, or two independent products in one launch.
//   gemm<F, KA, KB>(dev, p)    C = f(A B + bias) or C += A B, as defined in gemm_tile.cuh
//   gemm_pair(dev, p, q)       p with neither operand by k, q with A by k: the two gradients of a layer
// Strategy  tiles of 64 x 64 if there are at least 64 of them, else of 32 x 32. If there are too few tiles, K is split
//           into up to 128 / tiles parts, of at least 256 each.
// Fits      any M, N, K from 1 on, any leading dimensions.
// Cost      2 M N K operations. Tiles of 32 read 8 bytes from the L2 cache per 32 multiply-adds, tiles of 64 per 64.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/cuda/gemm_tile.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

inline constexpr unsigned gemm_enough = 128;  // blocks; about as many as the largest GPUs have multiprocessors
inline constexpr unsigned gemm_large = 64;    // minimum number of large tiles: half of that; not measured
inline constexpr int gemm_steps_min = 8;      // minimum stages of a part of K, to pay for one more trip to memory

static_assert(2 * (gemm_enough / 2) <= cuda_tickets, "a tile whose K is cut takes a ticket");

template <class Tile, class F, bool KA, bool KB>
__global__ void __launch_bounds__(Tile::threads) gemm_one(Product<typename Tile::value> p) {
  gemm_tile<Tile, F, KA, KB>(p, blockIdx.x, shared_memory<GemmShared<Tile>>());
}

template <class Tile>
__global__ void __launch_bounds__(Tile::threads)
    gemm_two(Product<typename Tile::value> p, Product<typename Tile::value> q) {
  auto& shared = shared_memory<GemmShared<Tile>>();
  if (blockIdx.x < p.blocks)
    gemm_tile<Tile, ActivationFunction<Activation{}>, false, false>(p, blockIdx.x, shared);
  else
    gemm_tile<Tile, ActivationFunction<Activation{}>, true, false>(q, blockIdx.x - p.blocks, shared);
}

template <class T>
constexpr bool gemm_has_large = std::is_same_v<T, float>;

/// The number of tiles of `each` x `each`.
template <class T>
unsigned gemm_tiles(const Product<T>& p, std::size_t each) {
  return blocks_for(static_cast<std::size_t>(p.m), each) * blocks_for(static_cast<std::size_t>(p.n), each);
}

/// Decides how p is split. Takes scratch for the worst batch size, so that it never shrinks as the batch grows.
template <class Tile, class T>
void plan(const Cuda& dev, Product<T>& p, unsigned first_ticket, ScratchAllocator& scratch) {
  constexpr int largest = gemm_has_large<T> ? 64 * 64 : 32 * 32;
  const auto wide = [](const T* at, std::ptrdiff_t ld) { return is_wide_aligned(at) && ld % Wide<T>::size == 0; };
  p.a_wide = wide(p.a, p.a_ld);
  p.b_wide = wide(p.b, p.b_ld);
  const unsigned steps = blocks_for(static_cast<std::size_t>(p.k > 0 ? p.k : 1), gemm_depth),
                 max = steps / gemm_steps_min;
  p.partials = max > 1 ? scratch.take<T>(std::size_t{gemm_enough} * largest) : nullptr;
  p.across = blocks_for(static_cast<std::size_t>(p.n), Tile::cols);
  const unsigned tiles = gemm_tiles(p, Tile::rows), wanted = gemm_enough / (tiles > 0 ? tiles : 1);
  const unsigned splits = max < wanted ? max : wanted, each = splits > 1 ? (steps + splits - 1) / splits : steps;
  p.part = static_cast<int>(each) * gemm_depth;
  p.splits = (steps + each - 1) / each;
  p.blocks = tiles * p.splits;
  p.tickets = dev.state().tickets + first_ticket;
}

/// Calls f(Tile{}). The number of large tiles decides the size of Tile, dev.math its arithmetic.
template <class T, class F>
void with_gemm_tile(const Cuda& dev, unsigned large_tiles, F f) {
  if constexpr (!gemm_has_large<T>) {
    f(GemmTile<T, CudaMath::fp32, false>{});
  } else {
    const bool large = large_tiles >= gemm_large;
    switch (dev.math) {
      case CudaMath::fp32:
        return large ? f(GemmTile<T, CudaMath::fp32, true>{}) : f(GemmTile<T, CudaMath::fp32, false>{});
      case CudaMath::tf32:
        return large ? f(GemmTile<T, CudaMath::tf32, true>{}) : f(GemmTile<T, CudaMath::tf32, false>{});
      case CudaMath::bf16:
        return large ? f(GemmTile<T, CudaMath::bf16, true>{}) : f(GemmTile<T, CudaMath::bf16, false>{});
    }
  }
}

template <class F, bool KA, bool KB, class T>
void gemm(const Cuda& dev, Product<T> p) {
  with_gemm_tile<T>(dev, gemm_tiles(p, 64), [&]<class Tile>(Tile) {
    ScratchAllocator scratch(dev);
    plan<Tile>(dev, p, 0, scratch);
    launch(dev, "gemm", gemm_one<Tile, F, KA, KB>, {p.blocks}, {Tile::threads}, sizeof(GemmShared<Tile>), p);
  });
}

/// C of either may be null. That product is then skipped.
template <class T>
void gemm_pair(const Cuda& dev, Product<T> p, Product<T> q) {
  if (!p.c) p.m = 0;
  if (!q.c) q.m = 0;
  with_gemm_tile<T>(dev, gemm_tiles(p, 64) + gemm_tiles(q, 64), [&]<class Tile>(Tile) {
    ScratchAllocator scratch(dev);
    plan<Tile>(dev, p, 0, scratch);
    plan<Tile>(dev, q, gemm_enough / 2, scratch);
    launch(dev, "gemm_pair", gemm_two<Tile>, {p.blocks + q.blocks}, {Tile::threads}, sizeof(GemmShared<Tile>), p, q);
  });
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
