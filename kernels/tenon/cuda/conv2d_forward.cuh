// A convolution as a matrix product whose operands are never stored, for sizes known at run time. conv2d.cuh defines the
// shapes. Forward and the gradient of x use the same kernel with different parameters.
//   conv2d_pack   w (O, C / groups, taps) -> (O, taps, C / groups); transposed: (groups, C / groups, taps, O / groups)
//   conv2d_rows   C (pixels, O / groups) = A (pixels, K) B (K, O / groups), K = taps C / groups, for each group
// Strategy  a block owns a tile of 4096 sums. Values of A are fetched by address as the loop over K advances, in three
//           stages. A tile contains whole pooling windows, so activation and pooling are done before anything is stored.
//           Gradient of x with a stride: the pixels that the same taps reach form a class. Each class is a product.
// Fits      every shape; pooling windows up to 64 pixels. 16 bytes are copied at a time if C / groups allows it.
// Cost      2 pixels O K operations, with sizes rounded up to whole tiles. A is read O / columns times, from caches.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/cuda/activation_function.cuh"
#include "tenon/cuda/conv2d_tile.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

/// One axis of an image. Result p, for position u of its pooling window and tap i, reads the input at from + p * from_each
/// + u * from_window + i * step. It is stored at to + p * to_each. Tap i is tap + i * tap_each of the weights.
struct ConvAxis {
  int count, from, from_each, from_window, to, to_each, taps, step, tap, tap_each;
};

/// `count` results, each the maximum of `pool` positions.
TENON_HD constexpr ConvAxis forward_axis(int count, int pool, int kernel, int stride, int padding, int dilation) {
  return {count, -padding, pool * stride, stride, 0, 1, kernel, dilation, 0, 1};
}

/// The pixels i of `size` with (i + padding) % stride == which.
TENON_HD constexpr ConvAxis gradient_axis(int which, int size, int kernel, int stride, int padding, int dilation) {
  const int first = (which - padding % stride + stride) % stride;
  int a = stride, b = dilation;
  while (b != 0) {
    const int r = a % b;
    a = b;
    b = r;
  }
  const int each = stride / a;  // one of so many adjacent taps reaches such a pixel
  int tap = 0;
  while (tap < kernel && (tap * dilation - which) % stride != 0) ++tap;
  return {first < size ? (size - first - 1) / stride + 1 : 0,
          (first + padding - tap * dilation) / stride,
          1,
          0,
          first,
          stride,
          tap < kernel ? (kernel - tap - 1) / each + 1 : 0,
          -(each * dilation / stride),
          tap,
          each};
}

template <class T>
struct ConvProblem {
  const T *x, *w, *bias;       // w is from conv2d_pack; bias may be null
  const std::uint8_t* places;  // argmax, if x is a pooled gradient
  T* y;
  std::uint8_t* argmax;  // or null
  bool accumulate, channels_first;
  int batch, groups;
  int h, wide, c, cg;       // of x; after the pool if x is a pooled gradient
  int limit_h, limit_w;     // x is zero beyond: its extents, or those of the gradient before the pool
  int o, og, out_h, out_w;  // of y
  int pool_h, pool_w;       // 1 if y is not pooled
  int taps, taps_across;    // of w: in total, and per row
  ConvAxis down, across;    // if classes == 1
  int classes;              // of pixels; if more than 1, the kernel calls gradient_axis
  int size_h, size_w;       // arguments of gradient_axis
  Window window;
};

struct ConvRow {
  long long at;  // offset of the image and group in x
  int y, x;      // of the first tap
};
struct ConvTarget {
  long long pixel;  // index over all images, or -1
  int in_image;
};

inline constexpr int conv_stages = 3;
inline constexpr int outside_image = -(1 << 30);

template <class Tile>
struct RowsShared {
  using T = typename Tile::value;
  static constexpr int stage_size = (Tile::rows + Tile::columns) * Tile::stride;
  static constexpr int result = Tile::rows * (Tile::columns + 1);
  alignas(128) T values[conv_stages * stage_size > result ? conv_stages* stage_size : result];
  T bias[Tile::columns];
  ConvRow row[Tile::rows];
  ConvTarget target[Tile::rows];
};

/// Weights (o, cg, taps) to be reordered. `packed` is (o, taps, cg), or (groups, cg, taps, og) if is_turned.
template <class T>
struct ConvWeights {
  const T* w;
  int o, og, cg, taps;
  bool is_turned;
  T* packed;

  TENON_HD std::size_t size() const { return static_cast<std::size_t>(o) * static_cast<std::size_t>(cg * taps); }
  __device__ __forceinline__ void pack(std::size_t i) const {
    const std::size_t inner = static_cast<std::size_t>(is_turned ? og : cg), rows = static_cast<std::size_t>(taps),
                      in_group = static_cast<std::size_t>(cg);
    const std::size_t row = i / inner / rows, tap = i / inner % rows, k = i % inner;
    const std::size_t out = is_turned ? row / in_group * inner + k : row, in = is_turned ? row % in_group : k;
    packed[i] = w[(out * in_group + in) * rows + tap];
  }
};

template <class T>
__global__ void conv2d_pack(ConvWeights<T> p) {
  const std::size_t i = global_thread();
  if (i < p.size()) p.pack(i);
}

template <class T, CudaMath M, int Columns, bool Vec, class Source, class F>
__global__ void __launch_bounds__(conv_threads, 2) conv2d_rows(ConvProblem<T> p) {
  using Tile = RowsTile<T, M, Columns>;
  constexpr int rows = Tile::rows, stride = Tile::stride, piece = Vec ? Wide<T>::size : 1, pieces = Tile::depth / piece,
                at_once = conv_threads / pieces;
  auto& s = shared_memory<RowsShared<Tile>>();
  const int thread = static_cast<int>(threadIdx.x), group = static_cast<int>(blockIdx.z) % p.groups,
            which = static_cast<int>(blockIdx.z) / p.groups, n0 = static_cast<int>(blockIdx.y) * Columns;
  ConvAxis down = p.down, across = p.across;
  if (p.classes > 1) {
    const Window& w = p.window;
    down = gradient_axis(which / w.sw, p.size_h, w.kh, w.sh, w.ph, w.dh);
    across = gradient_axis(which % w.sw, p.size_w, w.kw, w.sw, w.pw, w.dw);
  }
  const int results = down.count * across.count, positions = p.pool_h * p.pool_w, windows = rows / positions;
  if (results == 0) return;
  const std::size_t first = static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(windows);
  const long long image0 = static_cast<long long>(first / static_cast<std::size_t>(results));
  const int within = static_cast<int>(first % static_cast<std::size_t>(results));
  if (image0 >= p.batch) return;

  for (int r = thread; r < rows; r += conv_threads) {
    const int window = r / positions, u = r % positions, q = (within + window) % results;
    const long long image = image0 + (within + window) / results;
    const bool live = window < windows && image < p.batch;
    const int py = q / across.count, px = q % across.count, uy = u / p.pool_w, ux = u % p.pool_w;
    s.row[r] = {image * p.h * p.wide * p.c + group * p.cg,
                live ? down.from + py * down.from_each + uy * down.from_window : outside_image,
                live ? across.from + px * across.from_each + ux * across.from_window : outside_image};
    if (u == 0) {
      const int in_image = (down.to + py * down.to_each) * p.out_w + across.to + px * across.to_each;
      s.target[window] = {live ? image * p.out_h * p.out_w + in_image : -1, in_image};
    }
  }
  for (int n = thread; n < Columns; n += conv_threads)
    s.bias[n] = p.bias && n0 + n < p.og ? p.bias[group * p.og + n0 + n] : T(0);
  __syncthreads();

  // This thread's piece of K: the channels from c on of tap (i, j). It is the same for all rows.
  int i = 0, j = 0, c = thread % pieces * piece;
  const int column = c, row0 = thread / pieces;
  const int steps = (down.taps * across.taps * p.cg + Tile::depth - 1) / Tile::depth;
  const auto carry = [&] {
    for (; c >= p.cg; c -= p.cg)
      if (++j >= across.taps) j = 0, ++i;
  };
  constexpr bool held = Source::pooled && Vec;  // values that are changed, not only copied, are loaded one step ahead
  Spreading<T, Vec> hold[held ? rows / at_once : 1];
  const T* const weights = p.w + static_cast<std::size_t>(group * p.og + n0) * static_cast<std::size_t>(p.taps * p.cg);

  const auto fetch = [&](int stage) {
    T* const a = s.values + stage * RowsShared<Tile>::stage_size;
    T* const b = a + rows * stride;
    const bool live = i < down.taps && across.taps > 0;
    const int dy = i * down.step, dx = j * across.step;
    for (int k = 0; k < rows / at_once; ++k) {
      const int r = row0 + k * at_once;
      const ConvRow row = s.row[r];
      const int y = row.y + dy, x = row.x + dx;
      bool inside = live && y >= 0 && x >= 0 && y < p.limit_h && x < p.limit_w;
      if constexpr (Source::pooled) {
        const int py = y / Source::down, px = x / Source::across;
        inside = inside && py < p.h && px < p.wide;
        const long long from = inside ? row.at + (py * p.wide + px) * p.c + c : 0;
        const int place = y % Source::down * Source::across + x % Source::across;
        Spreading<T, Vec>& v = hold[held ? k : 0];
        v.load(p.x + from, p.places + from, place, inside);
        if constexpr (!held) v.store(a + r * stride + column);
      } else {
        copy_piece<Vec>(a + r * stride + column, inside ? p.x + row.at + (y * p.wide + x) * p.c + c : p.x, inside);
      }
    }
    const int tap = (down.tap + i * down.tap_each) * p.taps_across + across.tap + j * across.tap_each;
    for (int n = row0; n < Columns; n += at_once) {
      const bool inside = live && n0 + n < p.og;
      copy_piece<Vec>(
          b + n * stride + column,
          inside ? weights + static_cast<std::size_t>(n) * static_cast<std::size_t>(p.taps * p.cg) + tap * p.cg + c
                 : p.w,
          inside);
    }
    copy_async_commit();
    c += Tile::depth;
    carry();
  };
  const auto put = [&](int stage) {
    if constexpr (held) {
      T* const a = s.values + stage * RowsShared<Tile>::stage_size + column;
      for (int k = 0; k < rows / at_once; ++k) hold[k].store(a + (row0 + k * at_once) * stride);
    }
  };

  carry();
  Tile tile;
  for (int stage = 0; stage < conv_stages - 1; ++stage) {
    fetch(stage);
    put(stage);
  }
  int stage = 0, next = conv_stages - 1;
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<conv_stages - 2>();
    __syncthreads();  // all copies have arrived; no thread reads stage `next` any more
    fetch(next);
    const T* const a = s.values + stage * RowsShared<Tile>::stage_size;
    tile.step(a, a + rows * stride);
    put(next);
    stage = stage + 1 == conv_stages ? 0 : stage + 1;
    next = next + 1 == conv_stages ? 0 : next + 1;
  }
  copy_async_wait<0>();
  __syncthreads();  // the results overwrite the stages

  // The activation is applied below: here its code would be repeated for each sum of a thread.
  tile.each([&](int r, int n, T sum) { s.values[r * (Columns + 1) + n] = sum + s.bias[n]; });
  __syncthreads();
  const long long pixels = static_cast<long long>(p.out_h) * p.out_w;
  for (int e = thread; e < windows * Columns; e += conv_threads) {
    const int window = p.channels_first ? e % windows : e / Columns, n = p.channels_first ? e / windows : e % Columns;
    const ConvTarget target = s.target[window];
    if (target.pixel < 0 || n0 + n >= p.og) continue;
    const T* const from = s.values + window * positions * (Columns + 1) + n;
    T max = F::of(from[0]);
    int place = 0;
    for (int u = 1; u < positions; ++u) {
      const T v = F::of(from[u * (Columns + 1)]);
      if (v > max || v != v) max = v, place = u;  // a NaN wins
    }
    const int o = group * p.og + n0 + n;
    T* const to = p.y + (p.channels_first ? (target.pixel - target.in_image) * p.o + o * pixels + target.in_image
                                          : target.pixel * p.o + o);
    *to = p.accumulate ? *to + max : max;
    if (p.argmax) p.argmax[target.pixel * p.o + o] = static_cast<std::uint8_t>(place);
  }
}

/// Max pooling of z (batch, h, w, o), for windows that are too large for a tile. z is not used afterwards.
template <class T>
__global__ void conv2d_pool(const T* z, int batch, int h, int w, int o, Window pool, bool channels_first, T* y,
                            std::uint8_t* argmax) {
  const std::size_t e = global_thread();
  const int oh = h / pool.kh, ow = w / pool.kw;
  if (e >= static_cast<std::size_t>(batch) * static_cast<std::size_t>(oh * ow * o)) return;
  const std::size_t pixel = e / static_cast<std::size_t>(o), image = pixel / static_cast<std::size_t>(oh * ow);
  const int n = static_cast<int>(e % static_cast<std::size_t>(o)),
            q = static_cast<int>(pixel % static_cast<std::size_t>(oh * ow));
  T max = T(0);
  int place = 0;
  for (int u = 0; u < pool.kh * pool.kw; ++u) {
    const int row = q / ow * pool.kh + u / pool.kw, column = q % ow * pool.kw + u % pool.kw;
    const T v = z[(image * static_cast<std::size_t>(h * w) + static_cast<std::size_t>(row * w + column)) *
                      static_cast<std::size_t>(o) +
                  static_cast<std::size_t>(n)];
    if (u == 0 || v > max || v != v) max = v, place = u;
  }
  y[channels_first
        ? (image * static_cast<std::size_t>(o) + static_cast<std::size_t>(n)) * static_cast<std::size_t>(oh * ow) +
              static_cast<std::size_t>(q)
        : e] = max;
  if (argmax) argmax[e] = static_cast<std::uint8_t>(place);
}

/// Columns of a tile for og results per pixel: few columns are unused, and a wide tile reads less per result.
constexpr int conv_tile_columns(int og) {
  const auto cost = [og](int columns, int weight) { return (og + columns - 1) / columns * columns * weight; };
  const int wide = cost(64, 4), middle = cost(32, 5), narrow = cost(16, 6);
  return wide <= middle && wide <= narrow ? 64 : middle <= narrow ? 32 : 16;
}

/// Whether 16 bytes always hold channels of a single pixel.
template <class T>
constexpr bool conv_is_wide(int cg) {
  return cg % Wide<T>::size == 0;
}

template <class T, CudaMath M, int Columns, bool Vec, class Source, class F>
void launch_rows(const Cuda& dev, const char* name, const ConvProblem<T>& p, int results) {
  using Shared = RowsShared<RowsTile<T, M, Columns>>;
  const std::size_t windows = static_cast<std::size_t>(RowsTile<T, M, Columns>::rows / (p.pool_h * p.pool_w));
  launch(dev, name, conv2d_rows<T, M, Columns, Vec, Source, F>,
         {blocks_for(static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(results), windows),
          blocks_for(static_cast<std::size_t>(p.og), Columns), static_cast<unsigned>(p.groups * p.classes)},
         {conv_threads}, sizeof(Shared), p);
}

/// Returns `from`, or an aligned copy if it is not aligned to 16 bytes. Tensors of a model are always aligned.
template <class T>
const T* conv_aligned(const Cuda& dev, ScratchAllocator& scratch, const T* from, std::size_t n) {
  if (is_wide_aligned(from)) return from;
  T* const to = scratch.take<T>(n);
  copy(dev, from, to, n);
  return to;
}

/// `results`: per image, in the largest class. CG and OG equal p.cg and p.og. K = Taps * CG.
template <int CG, int OG, int Taps, class Source, class F, class T>
void run_rows(const Cuda& dev, ScratchAllocator& scratch, const char* name, ConvProblem<T> p, int results) {
  constexpr int columns = conv_tile_columns(OG);
  if constexpr (conv_is_wide<T>(CG)) {
    const std::size_t n = static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.h * p.wide * p.c);
    p.x = conv_aligned(dev, scratch, p.x, n);
    p.places = conv_aligned(dev, scratch, p.places, n);
    p.w = conv_aligned(dev, scratch, p.w, static_cast<std::size_t>(p.o * p.taps * p.cg));
    if constexpr (std::is_same_v<T, float> && Taps * CG >= 16 && OG >= 8) {
      if (dev.math == CudaMath::tf32)
        return launch_rows<T, CudaMath::tf32, columns, true, Source, F>(dev, name, p, results);
      if (dev.math == CudaMath::bf16)
        return launch_rows<T, CudaMath::bf16, columns, true, Source, F>(dev, name, p, results);
    }
  }
  launch_rows<T, CudaMath::fp32, columns, conv_is_wide<T>(CG), Source, F>(dev, name, p, results);
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
