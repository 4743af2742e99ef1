// The gradients of a convolution, for sizes known at run time. conv2d.cuh defines the shapes.
//   conv2d_derivative   dy, y -> g (pixels of y, O), channels-last: dy times f'(y); and the column sums of parts of g
//   conv2d_columns      C (K, O / groups) = A (K, pixels) B (pixels, O / groups) for each group and part of the pixels
//   conv2d_combine      the partial sums, added in order -> dw, db
// Strategy  a block owns 64 x up to 64 sums over a part of the pixels. The addresses of the pixels of a stage are computed
//           by one thread each, one stage ahead. A pooled gradient is never written in full: its values are put at the
//           positions of their maxima when they enter shared memory. conv2d_rows of conv2d_forward.cuh computes dx, with
//           transposed weights.
// Fits      every shape. The number of parts gives 264 blocks (two per multiprocessor of the largest GPUs). A part has at
//           least 256 pixels.
// Cost      2 pixels O K operations, with sizes rounded up to whole tiles. About 264 x 4096 partial sums are written and
//           read.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cuda/conv2d_forward.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

inline constexpr int conv_blocks = 264;
inline constexpr int conv_part_min = 256;

/// How n items are split into parts of the same size. The last part may be shorter.
struct ConvParts {
  std::size_t each;
  int count;
};
constexpr ConvParts conv_parts(std::size_t n, int max, std::size_t min) {
  const std::size_t limit = static_cast<std::size_t>(max < 1 ? 1 : max), even = (n + limit - 1) / limit;
  const std::size_t each = even < min ? min : (even + 63) / 64 * 64;
  return {each, static_cast<int>((n + each - 1) / each)};
}

// --- gradient through the activation ---------------------------------------------------------------------------------

inline constexpr int conv_slope_threads = 256;

template <class T>
struct ConvSlope {
  const T *dy, *y;
  T* g;
  T* sums;  // (parts, o), or null
  int batch, pixels, o;
  std::size_t each;  // rows, or images, per part
  int across;        // columns of a block, a power of two
};

template <class T>
struct SlopeShared {
  T sum[conv_slope_threads];
  T turned[32][33];
};

/// Adds the sums of the threads of the block that share a column, in order. The first `across` threads store the results.
template <class T>
__device__ __forceinline__ void conv_slope_sums(SlopeShared<T>& s, T sum, int across, int column, T* sums, int o) {
  const int thread = static_cast<int>(threadIdx.x);
  s.sum[thread] = sum;
  __syncthreads();
  if (thread >= across || column >= o) return;
  T total = T(0);
  for (int k = thread; k < conv_slope_threads; k += across) total += s.sum[k];
  sums[static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(o) + static_cast<std::size_t>(column)] = total;
}

template <class T, class F>
__global__ void __launch_bounds__(conv_slope_threads) conv2d_derivative(ConvSlope<T> p) {
  auto& s = shared_memory<SlopeShared<T>>();
  const int thread = static_cast<int>(threadIdx.x),
            column = static_cast<int>(blockIdx.y) * p.across + thread % p.across;
  const std::size_t rows = static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.pixels),
                    begin = static_cast<std::size_t>(blockIdx.x) * p.each,
                    end = rows - begin < p.each ? rows : begin + p.each;
  T sum = T(0);
  if (column < p.o)
    for (std::size_t r = begin + static_cast<std::size_t>(thread / p.across); r < end;
         r += static_cast<std::size_t>(conv_slope_threads / p.across)) {
      const std::size_t at = r * static_cast<std::size_t>(p.o) + static_cast<std::size_t>(column);
      T v = p.dy[at];
      if constexpr (!F::identity) {
        v *= F::derivative(T(0), p.y[at]);
        p.g[at] = v;
      }
      sum += v;
    }
  if (p.sums) conv_slope_sums(s, sum, p.across, column, p.sums, p.o);
}

/// The same for dy and y (batch, o, pixels): blocks of 32 x 32 are transposed in shared memory.
template <class T, class F>
__global__ void __launch_bounds__(conv_slope_threads) conv2d_slope_turn(ConvSlope<T> p) {
  auto& s = shared_memory<SlopeShared<T>>();
  const int thread = static_cast<int>(threadIdx.x), o0 = static_cast<int>(blockIdx.y) * 32, across = thread % 32,
            down = thread / 32;
  const std::size_t images = static_cast<std::size_t>(p.batch), begin = static_cast<std::size_t>(blockIdx.x) * p.each,
                    end = images - begin < p.each ? images : begin + p.each;
  T sum = T(0);
  for (std::size_t image = begin; image < end; ++image) {
    const std::size_t at = image * static_cast<std::size_t>(p.pixels) * static_cast<std::size_t>(p.o);
    for (int q0 = 0; q0 < p.pixels; q0 += 32) {
      for (int k = down; k < 32; k += conv_slope_threads / 32)
        if (o0 + k < p.o && q0 + across < p.pixels) {
          const std::size_t from = at + static_cast<std::size_t>(o0 + k) * static_cast<std::size_t>(p.pixels) +
                                   static_cast<std::size_t>(q0 + across);
          T v = p.dy[from];
          if constexpr (!F::identity) v *= F::derivative(T(0), p.y[from]);
          s.turned[k][across] = v;
        }
      __syncthreads();
      for (int k = down; k < 32; k += conv_slope_threads / 32)
        if (q0 + k < p.pixels && o0 + across < p.o) {
          const T v = s.turned[across][k];
          p.g[at + static_cast<std::size_t>(q0 + k) * static_cast<std::size_t>(p.o) +
              static_cast<std::size_t>(o0 + across)] = v;
          sum += v;
        }
      __syncthreads();  // before the next 32 x 32 values overwrite these
    }
  }
  if (p.sums) conv_slope_sums(s, sum, 32, o0 + across, p.sums, p.o);
}

// --- the gradient of the weights -------------------------------------------------------------------------------------

template <class T>
struct ConvGradient {
  const T *x, *g;
  const std::uint8_t* places;  // argmax, if g is pooled
  T* partial;                  // (parts, K, o)
  int batch, groups;
  int h, wide, c, cg;   // of x
  int out_h, out_w;     // of dz
  int g_h, g_w, o, og;  // of g
  int depth;            // K
  Window window;
  std::size_t each;  // pixels per part
};

/// Addresses for one pixel of dz, shared by the threads of a block.
struct ConvPixel {
  long long x_at, g_at;  // offset of the image in x, and of the pixel in g
  int y, x;              // first row and column of the window
  int place;             // in the pooling window of g; -1: no gradient here
};

template <class Tile>
struct ColumnsShared {
  using T = typename Tile::value;
  static constexpr int pixels = Tile::depth * Tile::parts;  // per stage
  static constexpr int stage_size = pixels * (Tile::a_stride + Tile::b_stride);
  static constexpr int result = Tile::parts * Tile::rows * (Tile::columns + 1);
  alignas(128) T values[conv_stages * stage_size > result ? conv_stages* stage_size : result];
  ConvPixel pixel[2][pixels];
};

template <class T, CudaMath M, int Columns, bool Vec, class Source>
__global__ void __launch_bounds__(conv_threads, 2) conv2d_columns(ConvGradient<T> p) {
  using Tile = ColumnsTile<T, M, Columns>;
  using Shared = ColumnsShared<Tile>;
  constexpr int pixels = Shared::pixels, piece = Vec ? Wide<T>::size : 1;
  constexpr int a_pieces = Tile::rows / piece, a_at_once = conv_threads / a_pieces;
  constexpr int b_pieces = Columns / piece, b_at_once = conv_threads / b_pieces,
                b_rounds = (pixels + b_at_once - 1) / b_at_once;
  static_assert(pixels <= conv_threads && pixels % a_at_once == 0);
  auto& s = shared_memory<Shared>();
  const int thread = static_cast<int>(threadIdx.x), group = static_cast<int>(blockIdx.z),
            tiles_across = (p.og + Columns - 1) / Columns,
            m0 = static_cast<int>(blockIdx.y) / tiles_across * Tile::rows,
            n0 = static_cast<int>(blockIdx.y) % tiles_across * Columns;
  const std::size_t of_image = static_cast<std::size_t>(p.out_h) * static_cast<std::size_t>(p.out_w),
                    total = static_cast<std::size_t>(p.batch) * of_image,
                    begin = static_cast<std::size_t>(blockIdx.x) * p.each;
  const int count = static_cast<int>(total - begin < p.each ? total - begin : p.each);
  const int steps = (count + pixels - 1) / pixels;

  // The pixel that this thread looks up. It advances by one stage per call.
  int image = static_cast<int>(begin / of_image);
  int at = thread, oy = static_cast<int>(begin % of_image) / p.out_w,
      ox = static_cast<int>(begin % of_image) % p.out_w + thread;
  const auto look_up = [&](ConvPixel* table) {
    if (thread >= pixels) return;
    for (; ox >= p.out_w; ox -= p.out_w)
      if (++oy >= p.out_h) oy = 0, ++image;
    ConvPixel q{0, 0, outside_image, outside_image, -1};
    if (at < count) {
      q.x_at = static_cast<long long>(image) * (p.h * p.wide * p.c) + group * p.cg;
      q.y = oy * p.window.sh - p.window.ph;
      q.x = ox * p.window.sw - p.window.pw;
      const int gy = oy / Source::down, gx = ox / Source::across;
      if (gy < p.g_h && gx < p.g_w) {
        q.g_at = static_cast<long long>(image) * (p.g_h * p.g_w * p.o) + (gy * p.g_w + gx) * p.o + group * p.og + n0;
        q.place = oy % Source::down * Source::across + ox % Source::across;
      }
    }
    table[thread] = q;
    at += pixels;
    ox += pixels;
  };

  const int m = thread % a_pieces * piece, a_row = thread / a_pieces, n = thread % b_pieces * piece,
            b_row = thread / b_pieces;
  const int tap = (m0 + m) / p.cg, channel = (m0 + m) % p.cg, taps_across = p.window.kw;
  const int dy = tap / taps_across * p.window.dh, dx = tap % taps_across * p.window.dw;
  const bool a_live = m0 + m < p.depth, b_live = n0 + n < p.og;
  constexpr bool held = Source::pooled && Vec;
  Spreading<T, Vec> hold[held ? b_rounds : 1];

  const auto fetch = [&](int stage, const ConvPixel* table) {
    T* const a = s.values + stage * Shared::stage_size;
    T* const b = a + pixels * Tile::a_stride;
    for (int k = a_row; k < pixels; k += a_at_once) {
      const ConvPixel& q = table[k];
      const int y = q.y + dy, x = q.x + dx;
      const bool inside = a_live && y >= 0 && x >= 0 && y < p.h && x < p.wide;
      copy_piece<Vec>(a + k * Tile::a_stride + m, inside ? p.x + q.x_at + (y * p.wide + x) * p.c + channel : p.x,
                      inside);
    }
    for (int r = 0; r < b_rounds; ++r) {
      const int k = b_row + r * b_at_once;
      if (k >= pixels) break;
      const ConvPixel& q = table[k];
      const bool inside = b_live && q.place >= 0;
      const long long from = inside ? q.g_at + n : 0;
      if constexpr (Source::pooled) {
        Spreading<T, Vec>& v = hold[held ? r : 0];
        v.load(p.g + from, p.places + from, q.place, inside);
        if constexpr (!held) v.store(b + k * Tile::b_stride + n);
      } else {
        copy_piece<Vec>(b + k * Tile::b_stride + n, p.g + from, inside);
      }
    }
    copy_async_commit();
  };
  const auto put = [&](int stage) {
    if constexpr (held) {
      T* const b = s.values + stage * Shared::stage_size + pixels * Tile::a_stride + n;
      for (int r = 0; r < b_rounds; ++r)
        if (b_row + r * b_at_once < pixels) hold[r].store(b + (b_row + r * b_at_once) * Tile::b_stride);
    }
  };

  Tile tile;
  look_up(s.pixel[0]);
  for (int k = 0; k < conv_stages - 1; ++k) {
    __syncthreads();  // the table is complete
    fetch(k, s.pixel[k % 2]);
    put(k);
    look_up(s.pixel[(k + 1) % 2]);
  }
  int stage = 0, next = conv_stages - 1, table = (conv_stages - 1) % 2;
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<conv_stages - 2>();
    __syncthreads();  // all copies have arrived; no thread reads stage `next` or the other table any more
    fetch(next, s.pixel[table]);
    table ^= 1;
    look_up(s.pixel[table]);
    const T* const a = s.values + stage * Shared::stage_size;
    tile.step(a, a + pixels * Tile::a_stride);
    put(next);
    stage = stage + 1 == conv_stages ? 0 : stage + 1;
    next = next + 1 == conv_stages ? 0 : next + 1;
  }
  copy_async_wait<0>();
  __syncthreads();  // the results overwrite the stages

  tile.each([&](int r, int col, T sum) { s.values[(Tile::part() * Tile::rows + r) * (Columns + 1) + col] = sum; });
  __syncthreads();
  T* const to = p.partial + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(p.depth) *
                                static_cast<std::size_t>(p.o);
  for (int e = thread; e < Tile::rows * Columns; e += conv_threads) {
    const int r = e / Columns, col = e % Columns;
    if (m0 + r >= p.depth || n0 + col >= p.og) continue;
    T sum = s.values[r * (Columns + 1) + col];
    for (int k = 1; k < Tile::parts; ++k) sum += s.values[(k * Tile::rows + r) * (Columns + 1) + col];
    to[static_cast<std::size_t>(m0 + r) * static_cast<std::size_t>(p.o) +
       static_cast<std::size_t>(group * p.og + n0 + col)] = sum;
  }
}

// --- sums of the parts -----------------------------------------------------------------------------------------------

template <class T>
struct ConvCombine {
  const T *partial, *sums;  // (dw_parts, taps, cg, o) and (db_parts, o)
  int dw_parts, db_parts;   // 0: not wanted
  int o, cg, taps;
  T *dw, *db;
  bool add_dw, add_db;
  unsigned blocks;         // that add; later blocks transpose weights, which saves one launch
  ConvWeights<T> weights;  // to be transposed, if any
};

inline constexpr unsigned combine_across = 32, combine_down = 8;

template <class T>
struct CombineShared {
  T sum[combine_down][combine_across];
};

/// A column of threads owns one value: thread k adds parts k, k + 8, ...
template <class T>
__global__ void __launch_bounds__(combine_across* combine_down) conv2d_combine(ConvCombine<T> p) {
  auto& s = shared_memory<CombineShared<T>>();
  const unsigned across = threadIdx.x, down = threadIdx.y;
  if (blockIdx.x >= p.blocks) {
    const std::size_t i =
        (static_cast<std::size_t>(blockIdx.x - p.blocks) * combine_down + down) * combine_across + across;
    if (i < p.weights.size()) p.weights.pack(i);
    return;
  }
  const std::size_t size = p.dw_parts ? static_cast<std::size_t>(p.taps * p.cg) * static_cast<std::size_t>(p.o) : 0;
  const std::size_t e = static_cast<std::size_t>(blockIdx.x) * combine_across + across;
  const bool of_weights = e < size, live = of_weights || (p.db_parts && e - size < static_cast<std::size_t>(p.o));
  T sum = T(0);
  if (live) {
    const T* const from = of_weights ? p.partial + e : p.sums + (e - size);
    const std::size_t stride = of_weights ? size : static_cast<std::size_t>(p.o);
    const unsigned parts = static_cast<unsigned>(of_weights ? p.dw_parts : p.db_parts);
    for (unsigned k = down; k < parts; k += combine_down) sum += from[k * stride];
  }
  s.sum[down][across] = sum;
  __syncthreads();
  if (!live || down != 0) return;
  for (unsigned k = 1; k < combine_down; ++k) sum += s.sum[k][across];
  if (of_weights) {
    const std::size_t o = e % static_cast<std::size_t>(p.o), k = e / static_cast<std::size_t>(p.o),
                      cg = static_cast<std::size_t>(p.cg);
    T* const to = p.dw + (o * cg + k % cg) * static_cast<std::size_t>(p.taps) + k / cg;
    *to = p.add_dw ? *to + sum : sum;
  } else {
    T* const to = p.db + (e - size);
    *to = p.add_db ? *to + sum : sum;
  }
}

// --- launches --------------------------------------------------------------------------------------------------------

/// Columns of a tile of the weight gradient.
template <int OG>
inline constexpr int conv_gradient_columns = OG > 32   ? 64
                                             : OG > 16 ? 32
                                                       : 16;

template <class T, CudaMath M, int Columns, bool Vec, class Source>
void launch_columns(const Cuda& dev, const ConvGradient<T>& p, int parts) {
  using Tile = ColumnsTile<T, M, Columns>;
  const unsigned tiles =
      blocks_for(static_cast<std::size_t>(p.depth), Tile::rows) * blocks_for(static_cast<std::size_t>(p.og), Columns);
  launch(dev, "conv2d_columns", conv2d_columns<T, M, Columns, Vec, Source>,
         {static_cast<unsigned>(parts), tiles, static_cast<unsigned>(p.groups)}, {conv_threads},
         sizeof(ColumnsShared<Tile>), p);
}

template <int CG, int OG, int Taps, class Source, class T>
void run_columns(const Cuda& dev, ScratchAllocator& scratch, ConvGradient<T> p, int parts) {
  constexpr int columns = conv_gradient_columns<OG>;
  constexpr bool wide = conv_is_wide<T>(CG) && conv_is_wide<T>(OG);
  if constexpr (wide) {
    const std::size_t batch = static_cast<std::size_t>(p.batch),
                      n = batch * static_cast<std::size_t>(p.g_h * p.g_w * p.o);
    p.x = conv_aligned(dev, scratch, p.x, batch * static_cast<std::size_t>(p.h * p.wide * p.c));
    p.g = conv_aligned(dev, scratch, p.g, n);
    p.places = conv_aligned(dev, scratch, p.places, n);
    if constexpr (std::is_same_v<T, float> && Taps * CG >= 16 && OG >= 8) {
      if (dev.math == CudaMath::tf32) return launch_columns<T, CudaMath::tf32, columns, true, Source>(dev, p, parts);
      if (dev.math == CudaMath::bf16) return launch_columns<T, CudaMath::bf16, columns, true, Source>(dev, p, parts);
    }
  }
  launch_columns<T, CudaMath::fp32, columns, wide, Source>(dev, p, parts);
}

/// Computes g from dy, and the column sums of parts of g. Returns the number of parts.
template <class F, bool First, class T>
int run_derivative(const Cuda& dev, ConvSlope<T> p) {
  const int max = conv_blocks;
  p.across = 32;
  while (!First && p.across > 1 && p.across / 2 >= p.o) p.across /= 2;
  const unsigned columns = blocks_for(static_cast<std::size_t>(p.o), static_cast<std::size_t>(p.across));
  const int limit = (max + static_cast<int>(columns) - 1) / static_cast<int>(columns);
  const std::size_t n = static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(First ? 1 : p.pixels);
  ConvParts parts = conv_parts(n, limit, 64);
  if (First) {
    const std::size_t each = (n + static_cast<std::size_t>(limit) - 1) / static_cast<std::size_t>(limit);
    parts = {each, static_cast<int>((n + each - 1) / each)};
  }
  p.each = parts.each;
  const Grid grid{static_cast<unsigned>(parts.count), columns};
  if constexpr (First)
    launch(dev, "conv2d_slope_turn", conv2d_slope_turn<T, F>, grid, {conv_slope_threads}, sizeof(SlopeShared<T>), p);
  else
    launch(dev, "conv2d_slope", conv2d_derivative<T, F>, grid, {conv_slope_threads}, sizeof(SlopeShared<T>), p);
  return parts.count;
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
