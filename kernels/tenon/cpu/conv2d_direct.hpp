// Convolution as products over the patch matrix X (conv2d_patches.hpp), for any geometry.
//   forward          y (n, o) = f(start + X w^T)            w in panels (groups, og / 16, K, 16), K = cg kh kw
//   weight gradient  dw += X^T dz, in panels as w
//   input gradient   dz w, added to dx at the positions that X reads
// Strategy  AVX2: tiles of 6 x 16 (pixels x outputs) stay in registers and read X in place through the two tables, so K is
//           never split and X is not stored. Portable: Eigen's tiles multiply blocks of 32 stored rows of X.
// Cost      2 n o K operations each, o rounded up to 16 per group; 0.9 of the FMA peak at K = 288
//           (bench/kernels/conv2d.cpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/cpu/conv2d_patches.hpp"
#include "tenon/cpu/gemm.hpp"
#include "tenon/cpu/max_pool2d.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

inline constexpr int patch_block = 32;  // rows of X, or of dz w, that are stored at a time

namespace portable {

/// to (n, K) = rows [first, first + n) of X of one group.
template <class T>
void make_patches(const Patches& p, const T* frame, int depth, int first, int n, T* to) {
  for (int r = 0; r < n; ++r) {
    const T* const from = frame + p.pixel[first + r];
    for (int k = 0; k < depth; ++k) *to++ = from[p.tap[k]];
  }
}

/// y (pixels, o) = f(start + X w^T)
template <Activation A, class T>
void conv_forward(const ConvDims& d, const T* frame, const Patches& p, const T* packed, const T* start,
                  std::ptrdiff_t start_row, T* y, T* block) {
  const ConvSizes s(d);
  for (int g = 0; g < d.groups; ++g)
    for (int i = 0; i < p.pixels; i += patch_block) {
      const int n = p.pixels - i < patch_block ? p.pixels - i : patch_block;
      make_patches(p, frame + g * s.cg, s.depth, i, n, block);
      gemm_block<A>(Gemm<T>{n, s.og, s.depth, block, s.depth, 1,
                            packed + static_cast<std::size_t>(g) * gemm_packed(s.og, s.depth),
                            static_cast<std::ptrdiff_t>(s.depth) * panel, panel,
                            y + static_cast<std::ptrdiff_t>(i) * d.o + g * s.og, d.o,
                            start ? start + i * start_row + g * s.og : nullptr, start_row},
                    0, n, 0, panels(s.og));
    }
}

/// dw (groups, og / 16, K, 16) += X^T dz
template <class T>
void conv_weight_gradient(const ConvDims& d, const T* frame, const Patches& p, const T* dz, T* dw, T* block) {
  const ConvSizes s(d);
  const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(s.depth) * panel;
  for (int g = 0; g < d.groups; ++g)
    for (int i = 0; i < p.pixels; i += patch_block) {
      const int n = p.pixels - i < patch_block ? p.pixels - i : patch_block;
      make_patches(p, frame + g * s.cg, s.depth, i, n, block);
      for (int j = 0; j < panels(s.og); ++j) {
        T* const to = dw + (g * panels(s.og) + j) * size;
        const int columns = s.og - j * panel < panel ? s.og - j * panel : panel;
        gemm_block<Activation{}>(
            Gemm<T>{s.depth, columns, n, block, 1, s.depth,
                    dz + static_cast<std::ptrdiff_t>(i) * d.o + g * s.og + j * panel, panel, d.o, to, panel, to, panel},
            0, s.depth, 0, 1);
      }
    }
}

}  // namespace portable

#if TENON_X86
namespace avx2 {

template <int R, Activation A, class Low, class High>
TENON_AVX2_INLINE void conv_tile(const float* frame, const Patches& p, int n, int depth, const float* b,
                                 const float* start, std::ptrdiff_t start_row, float* y, std::ptrdiff_t y_row, Low low,
                                 High high) {
  const float* a[R];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) a[r] = frame + p.pixel[n + r];
  Tile<R> tile;
  tile.start(start ? start + n * start_row : nullptr, start_row, low, high);
  tile.multiply(a, Table{p.tap}, depth, b, 0, panel, FullVector{}, FullVector{});
  tile.template finish<A>(y + n * y_row, y_row, low, high);
}

template <Activation A, class Low, class High>
TENON_AVX2 void conv_panel(const float* frame, const Patches& p, int depth, const float* b, const float* start,
                           std::ptrdiff_t start_row, float* y, std::ptrdiff_t y_row, Low low, High high) {
  const EvenSplit tiles(p.pixels);
  for (int t = 0, n = 0; t < tiles.parts; ++t) {
    const int end = tiles.begin(t + 1);
    switch (end - n) {
      case 1: conv_tile<1, A>(frame, p, n, depth, b, start, start_row, y, y_row, low, high); break;
      case 2: conv_tile<2, A>(frame, p, n, depth, b, start, start_row, y, y_row, low, high); break;
      case 3: conv_tile<3, A>(frame, p, n, depth, b, start, start_row, y, y_row, low, high); break;
      case 4: conv_tile<4, A>(frame, p, n, depth, b, start, start_row, y, y_row, low, high); break;
      case 5: conv_tile<5, A>(frame, p, n, depth, b, start, start_row, y, y_row, low, high); break;
      default: conv_tile<6, A>(frame, p, n, depth, b, start, start_row, y, y_row, low, high);
    }
    n = end;
  }
}

/// y (pixels, o) = f(start + X w^T)
template <Activation A>
TENON_AVX2 void conv_forward(const ConvDims& d, const float* frame, const Patches& p, const float* packed,
                             const float* start, std::ptrdiff_t start_row, float* y) {
  const ConvSizes s(d);
  for (int g = 0; g < d.groups; ++g)
    for (int j = 0; j < s.og; j += panel, packed += static_cast<std::ptrdiff_t>(s.depth) * panel) {
      const float* const from = frame + g * s.cg;
      const float* const begin = start ? start + g * s.og + j : nullptr;
      float* const to = y + g * s.og + j;
      const int columns = s.og - j;
      if (columns >= panel)
        conv_panel<A>(from, p, s.depth, packed, begin, start_row, to, d.o, FullVector{}, FullVector{});
      else
        conv_panel<A>(from, p, s.depth, packed, begin, start_row, to, d.o, MaskedVector{first(columns)},
                      MaskedVector{first(columns - lanes)});
    }
}

/// The maximum of one pooling window of 2 x 2 pixels, computed in registers.
template <Activation A, class Low, class High>
TENON_AVX2_INLINE void conv_window(const float* frame, const int* pixel, const int* tap, int depth, const float* b,
                                   const float* start, float* y, std::uint8_t* argmax, Low low, High high) {
  const float* const a[4] = {frame + pixel[0], frame + pixel[1], frame + pixel[2], frame + pixel[3]};
  Tile<4> tile;
  tile.start(start, 0, low, high);
  tile.multiply(a, Table{tap}, depth, b, 0, panel, FullVector{}, FullVector{});
  Maximum m0{ActivationFunction<A>::of(tile.acc[0][0]), _mm256_setzero_si256()},
      m1{ActivationFunction<A>::of(tile.acc[0][1]), _mm256_setzero_si256()};
  TENON_UNROLL
  for (int r = 0; r < 4; ++r) {
    m0.offer(ActivationFunction<A>::of(tile.acc[r][0]), r);
    m1.offer(ActivationFunction<A>::of(tile.acc[r][1]), r);
  }
  store(y, low, m0.max);
  store(y + lanes, high, m1.max);
  if (!argmax) return;
  store_bytes(argmax, low, m0.place);
  store_bytes(argmax + lanes, high, m1.place);
}

template <Activation A, class Low, class High>
TENON_AVX2 void conv_windows(const float* frame, const Patches& p, int depth, const float* b, const float* start,
                             float* y, std::ptrdiff_t y_row, std::uint8_t* argmax, Low low, High high) {
  for (int n = 0; n < p.pixels; n += 4, y += y_row) {
    conv_window<A>(frame, p.pixel + n, p.tap, depth, b, start, y, argmax, low, high);
    if (argmax) argmax += y_row;
  }
}

/// y (pixels / 4, o) = max_pool(f(bias + X w^T)). argmax has this shape or is null. Pixels are ordered by 2 x 2 windows.
template <Activation A>
TENON_AVX2 void conv_forward_pooled(const ConvDims& d, const float* frame, const Patches& p, const float* packed,
                                    const float* bias, float* y, std::uint8_t* argmax) {
  const ConvSizes s(d);
  for (int g = 0; g < d.groups; ++g)
    for (int j = 0; j < s.og; j += panel, packed += static_cast<std::ptrdiff_t>(s.depth) * panel) {
      const int o = g * s.og + j, columns = s.og - j;
      const float *const from = frame + g * s.cg, *const begin = bias ? bias + o : nullptr;
      std::uint8_t* const places = argmax ? argmax + o : nullptr;
      if (columns >= panel)
        conv_windows<A>(from, p, s.depth, packed, begin, y + o, d.o, places, FullVector{}, FullVector{});
      else
        conv_windows<A>(from, p, s.depth, packed, begin, y + o, d.o, places, MaskedVector{first(columns)},
                        MaskedVector{first(columns - lanes)});
    }
}

template <int R, class Low, class High>
TENON_AVX2_INLINE void conv_weight_tile(const float* frame, const Patches& p, int k, const float* dz,
                                        std::ptrdiff_t dz_row, float* dw, Low low, High high) {
  const float* a[R];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) a[r] = frame + p.tap[k + r];
  Tile<R> tile;
  tile.start(dw + k * panel, panel, FullVector{}, FullVector{});
  tile.multiply(a, Table{p.pixel}, p.pixels, dz, 0, dz_row, low, high);
  tile.template finish<Activation{}>(dw + k * panel, panel, FullVector{}, FullVector{});
}

template <class Low, class High>
TENON_AVX2 void conv_weight_panel(const float* frame, const Patches& p, int depth, const float* dz,
                                  std::ptrdiff_t dz_row, float* dw, Low low, High high) {
  const EvenSplit tiles(depth);
  for (int t = 0, k = 0; t < tiles.parts; ++t) {
    const int end = tiles.begin(t + 1);
    switch (end - k) {
      case 1: conv_weight_tile<1>(frame, p, k, dz, dz_row, dw, low, high); break;
      case 2: conv_weight_tile<2>(frame, p, k, dz, dz_row, dw, low, high); break;
      case 3: conv_weight_tile<3>(frame, p, k, dz, dz_row, dw, low, high); break;
      case 4: conv_weight_tile<4>(frame, p, k, dz, dz_row, dw, low, high); break;
      case 5: conv_weight_tile<5>(frame, p, k, dz, dz_row, dw, low, high); break;
      default: conv_weight_tile<6>(frame, p, k, dz, dz_row, dw, low, high);
    }
    k = end;
  }
}

/// dw (groups, og / 16, K, 16) += X^T dz
TENON_AVX2 inline void conv_weight_gradient(const ConvDims& d, const float* frame, const Patches& p, const float* dz,
                                            float* dw) {
  const ConvSizes s(d);
  for (int g = 0; g < d.groups; ++g)
    for (int j = 0; j < s.og; j += panel, dw += static_cast<std::ptrdiff_t>(s.depth) * panel) {
      const float* const from = frame + g * s.cg;
      const int columns = s.og - j;
      if (columns >= panel)
        conv_weight_panel(from, p, s.depth, dz + g * s.og + j, d.o, dw, FullVector{}, FullVector{});
      else
        conv_weight_panel(from, p, s.depth, dz + g * s.og + j, d.o, dw, MaskedVector{first(columns)},
                          MaskedVector{first(columns - lanes)});
    }
}

}  // namespace avx2
#endif

/// dw (groups, og / 16, K, 16) += X^T dz
template <class T>
void conv_weight_gradient([[maybe_unused]] const Cpu& dev, const ConvDims& d, const T* frame, const Patches& p,
                          const T* dz, T* dw, T* block) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::conv_weight_gradient(d, frame, p, dz, dw);
#endif
  portable::conv_weight_gradient(d, frame, p, dz, dw, block);
}

/// y (pixels, o) = f(start + X w^T)
template <Activation A, class T>
void conv_forward([[maybe_unused]] const Cpu& dev, const ConvDims& d, const T* frame, const Patches& p, const T* packed,
                  const T* start, std::ptrdiff_t start_row, T* y, T* block) {
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) return avx2::conv_forward<A>(d, frame, p, packed, start, start_row, y);
#endif
  portable::conv_forward<A>(d, frame, p, packed, start, start_row, y, block);
}

/// Adds dz w to dframe at the positions that X reads. w (O, cg, kh, kw) is not packed. `block` holds 32 rows of K values.
template <class T>
void conv_input_gradient(const Cpu& dev, const ConvDims& d, const Patches& p, const T* dz, const T* w, T* dframe,
                         T* block) {
  const ConvSizes s(d);
  for (int g = 0; g < d.groups; ++g)
    for (int i = 0; i < p.pixels; i += patch_block) {
      const int n = p.pixels - i < patch_block ? p.pixels - i : patch_block;
      const Gemm<T> product{n,
                            s.depth,
                            s.og,
                            dz + static_cast<std::ptrdiff_t>(i) * d.o + g * s.og,
                            d.o,
                            1,
                            w + static_cast<std::ptrdiff_t>(g) * s.og * s.depth,
                            panel,
                            s.depth,
                            block,
                            s.depth};
      gemm_range<Activation{}>(dev, product, 0, n, 0, panels(s.depth));
      const T* from = block;
      for (int r = 0; r < n; ++r) {
        T* const to = dframe + p.pixel[i + r] + g * s.cg;
        for (int k = 0; k < s.depth; ++k) to[p.tap[k]] += *from++;
      }
    }
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
