// Conv2d: y = order(max_pool(f(conv(x, w) + b))), and its gradients; f, pool and order are the epilogue's.
//   x (B, H, W, C)   w (O, C / groups, kh, kw)   b (O) or null   ->   y (B, H', W', O), or (B, O, H', W') channels-first
//   argmax (B, H', W', O), channels-last whatever the order of y: row * pool.kw + column of the maximum; null: not wanted
//   dx (B, H, W, C)   dw (O, C / groups, kh, kw)   db (O), from dy as y lies; dy is written over
// Strategy  forward: a task owns a band of rows of one image, pooled while it is in cache.
//           Gradients: a task owns a chunk of images, at most 16 of them; each has its own dw and db, added in order.
// Cost      2 B oh ow O K operations each, K = kh kw C / groups. A worker's scratch holds a band: see conv2d_scratch.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/core/geometry.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/conv2d_direct.hpp"
#include "tenon/cpu/conv2d_patches.hpp"
#include "tenon/cpu/conv2d_sparse.hpp"
#include "tenon/cpu/conv2d_winograd.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/cpu/slope.hpp"
#include "tenon/cpu/transpose.hpp"

namespace tenon::kernels {

inline constexpr int conv2d_chunks = 16;  // partial sums of dw, at most

/// Values that a band of the whole image would take.
constexpr long long band_values(const ConvDims& d) {
  const ConvSizes s(d);
  return static_cast<long long>(s.oh) *
         (static_cast<long long>(s.ow) * d.o + static_cast<long long>(d.window.sh) * s.frame_w * d.c);
}

/// Forward: 256 KiB; of a small batch also no more than 2^16 vector operations (20 us), so that there is work for several
/// threads. Every result is one sum by itself, so its bits do not depend on this.
constexpr ConvBands forward_bands(const ConvDims& d, const Fuse& f, int batch) {
  const ConvSizes s(d);
  const long long operations = static_cast<long long>(s.oh) * s.ow * d.groups * panels(s.og) * s.depth;
  return ConvBands(d, f, std::max(band_values(d) >> 16, batch < 16 ? operations >> 16 : 1));
}

/// Backward: 256 KiB; or, where lists of nonzeros read the frame at random, a frame of 20 KiB, which fits the first cache.
constexpr ConvBands backward_bands(const ConvDims& d, const Fuse& f) {
  const long long frame = static_cast<long long>(frame_size(d, d.oh()));
  return ConvBands(d, f, std::max(band_values(d) >> 16, conv2d_is_sparse(d, f) ? ceil_div(frame, 10240LL) : 1));
}

/// Images of one chunk, by the batch alone.
constexpr int conv2d_grain(int batch) { return (batch + conv2d_chunks - 1) / conv2d_chunks; }

/// Where stride and order let dx be a convolution of dz by itself: that of the flipped weights.
constexpr bool input_gradient_is_forward(const ConvDims& d, const Fuse& f) {
  const Window& w = d.window;
  return !f.pooled && !f.channels_first && w.sh == 1 && w.sw == 1 && w.ph <= w.dh * (w.kh - 1) &&
         w.pw <= w.dw * (w.kw - 1);
}
constexpr ConvDims input_gradient_dims(const ConvDims& d) {
  const Window& w = d.window;
  return {d.o, d.oh(),   d.ow(),
          d.c, d.groups, {w.kh, w.kw, 1, 1, w.dh * (w.kh - 1) - w.ph, w.dw * (w.kw - 1) - w.pw, w.dh, w.dw}};
}

/// Windows that neither overlap nor reach outside.
constexpr bool tiles_image(const Window& w) {
  return w.kh == w.sh && w.kw == w.sw && w.ph == 0 && w.pw == 0 && w.dh == 1 && w.dw == 1;
}

constexpr std::size_t conv2d_panels(const ConvDims& d) {
  const ConvSizes s(d);
  return static_cast<std::size_t>(d.groups) * gemm_packed(s.og, s.depth);
}

/// Values of T of the weights as forward wants them: in panels (groups, og / 16, K, 16), or Winograd's.
constexpr std::size_t conv2d_packed(ConvDims d) {
  return std::max(conv2d_panels(d), conv2d_fits_winograd(d) ? winograd_packed(d) : 0);
}

/// Values of a partial dw: in panels, or by runs.
constexpr std::size_t conv2d_partial(const ConvDims& d, const Fuse& f) {
  return std::max(conv2d_panels(d), conv2d_is_sparse(d, f) ? ConvRuns(d).weights(d) : 0);
}

/// Values of T that backward shares: 16 partial dw and db, and the weights as the gradient of x wants them.
constexpr std::size_t conv2d_workspace(ConvDims d, Fuse f) {
  return conv2d_chunks * (conv2d_partial(d, f) + static_cast<std::size_t>(d.o)) +
         (input_gradient_is_forward(d, f) ? conv2d_packed(input_gradient_dims(d))
          : conv2d_is_sparse(d, f)        ? ConvRuns(d).weights(d)
                                          : 0);
}

/// A worker's scratch of forward, for a band of `rows` rows; behind it lies that of the strategy.
template <class T>
struct ForwardRoom {
  T* image;   // (rows, ow, o), where it is pooled or put in another order
  T* pooled;  // after the pool, where it is put in another order

  constexpr ForwardRoom(const ConvDims& d, const Fuse& f, int rows, Scratch& s)
      : image(s.take<T>(f.pooled || f.channels_first ? static_cast<std::size_t>(rows * d.ow() * d.o) : 0)),
        pooled(s.take<T>(f.pooled && f.channels_first
                             ? static_cast<std::size_t>(rows / f.pool.kh * f.pool.out_w(d.ow()) * d.o)
                             : 0)) {}
};

template <class T>
struct DirectRoom {
  T* frame;  // rows of x in their padding
  T* block;  // rows of X
  int* tables;

  constexpr DirectRoom(const ConvDims& d, int rows, Scratch& s)
      : frame(s.take<T>(d.window.ph || d.window.pw ? frame_size(d, rows) : 0)),
        block(s.take<T>(static_cast<std::size_t>(patch_block * ConvSizes(d).depth))),
        tables(s.take<int>(Patches::size(d, rows))) {}
};

template <class T>
constexpr std::size_t forward_scratch(const ConvDims& d, const Fuse& f) {
  const int rows = forward_bands(d, f, 16).rows;
  Scratch direct, winograd;
  ForwardRoom<T>(d, f, rows, direct);
  ForwardRoom<T>(d, f, rows, winograd);
  DirectRoom<T>(d, rows, direct);
  if (conv2d_fits_winograd(d)) WinogradRoom(d, rows, winograd);
  return std::max(direct.bytes(), winograd.bytes());
}

/// A worker's scratch of backward, for a band of `rows` rows.
template <class T>
struct BackwardRoom {
  T* frame;   // rows of x in their padding
  T* dframe;  // and of dx
  T* pooled;  // dz (pixels of y, o), channels-last
  T* dz;      // the same spread over the windows, (rows, ow, o)
  T* block;   // rows of X
  int* tables;

  constexpr BackwardRoom(const ConvDims& d, const Fuse& f, int rows, Scratch& s)
      : frame(s.take<T>(frame_size(d, rows))),
        dframe(s.take<T>(input_gradient_is_forward(d, f) ? 0 : frame_size(d, rows + 1))),
        pooled(s.take<T>(f.channels_first ? static_cast<std::size_t>(pooled_pixels(d, f, rows) * d.o) : 0)),
        dz(s.take<T>(f.pooled ? static_cast<std::size_t>(rows * d.ow() * d.o) : 0)),
        block(s.take<T>(static_cast<std::size_t>(patch_block * ConvSizes(d).depth))),
        tables(s.take<int>(Patches::size(d, rows))) {}

  /// Pixels of y that come of `rows` rows.
  static constexpr int pooled_pixels(const ConvDims& d, const Fuse& f, int rows) {
    return f.pooled ? rows / f.pool.kh * f.pool.out_w(d.ow()) : rows * d.ow();
  }
};

/// Bytes of a worker's scratch: the larger of what forward and backward want.
template <class T>
constexpr std::size_t conv2d_scratch(ConvDims d, Fuse f) {
  Scratch backward;
  const int rows = backward_bands(d, f).rows;
  BackwardRoom<T>(d, f, rows, backward);
  if (conv2d_is_sparse(d, f)) SparseRoom(d, f, BackwardRoom<T>::pooled_pixels(d, f, rows), backward);
  return std::max({forward_scratch<T>(d, f), backward.bytes(),
                   input_gradient_is_forward(d, f) ? forward_scratch<T>(input_gradient_dims(d), Fuse{}) : 0});
}

/// True where the weights are packed for Winograd's algorithm: a question of the instruction set, too.
template <class T>
bool takes_winograd(const Cpu& dev, const ConvDims& d) {
  return conv2d_fits_winograd(d) && takes_avx2<T>(dev);
}

/// One band of one image. Sums begin at `start`: the bias (start_row 0), or rows of what is to be added to, or null.
template <Act A, class T>
void conv2d_forward_band(const Cpu& dev, const ConvDims& d, const Fuse& f, int r0, int r1, const T* x, const T* packed,
                         const T* start, std::ptrdiff_t start_row, T* y, std::uint8_t* argmax, void* scratch) {
  const int rows = r1 - r0, ow = d.ow();
  Scratch memory(scratch);
  const ForwardRoom<T> room(d, f, rows, memory);
  const std::ptrdiff_t above = static_cast<std::ptrdiff_t>(r0) * ow;  // pixels before this band
  const PoolDims pool{d.o, rows, ow, f.pool};
  const std::ptrdiff_t before =
      f.pooled ? static_cast<std::ptrdiff_t>(r0 / f.pool.kh) * pool.ow() : above;  // the same of y
  std::uint8_t* const places = argmax ? argmax + before * d.o : nullptr;
  T* const image = f.pooled || f.channels_first ? room.image : y + above * d.o;
  T* const pooled = f.channels_first ? room.pooled : y + before * d.o;
  if (start) start += above * start_row;

  [[maybe_unused]] const bool pools = f.pooled && f.pool.kh == 2 && f.pool.kw == 2;  // from registers
  bool done = false;
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_winograd<T>(dev, d)) {
      const WinogradRoom winograd(d, rows, memory);
      copy_to_frame(d, x, r0, frame_rows(d, rows), winograd.frame);
      avx2::winograd_forward(
          d, winograd, packed,
          avx2::WinogradResult<A>{rows, ow, d.o, start, start_row, pools ? pooled : image, pools, places});
      if (f.pooled && !pools) max_pool(dev, pool, image, pooled, places);
      done = true;
    }
#endif
  if (!done) {
    const DirectRoom<T> direct(d, rows, memory);
    const T* frame = x + static_cast<std::ptrdiff_t>(r0) * d.window.sh * d.w * d.c;
    if (d.window.ph || d.window.pw) {
      copy_to_frame(d, x, r0 * d.window.sh, frame_rows(d, rows), direct.frame);
      frame = direct.frame;
    }
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (pools && takes_avx2<T>(dev)) {
        avx2::conv_forward_pooled<A>(d, frame, Patches(d, rows, direct.tables, &f.pool), packed, start, pooled, places);
        done = true;
      }
#endif
    if (!done) {
      conv_forward<A>(dev, d, frame, Patches(d, rows, direct.tables), packed, start, start_row, image, direct.block);
      if (f.pooled) max_pool(dev, pool, image, pooled, places);
    }
  }
  if (!f.channels_first) return;
  if (f.pooled)
    transpose(dev, pooled, pool.oh() * pool.ow(), d.o, d.o, y + before, f.pool.out_h(d.oh()) * pool.ow(), false);
  else
    transpose(dev, image, rows * ow, d.o, d.o, y + above, d.oh() * ow, false);
}

template <Act A, class T>
void conv2d_forward_images(Cpu& dev, const ConvDims& d, const Fuse& f, int batch, const T* x, const T* packed,
                           const T* start, std::ptrdiff_t start_row, T* y, std::uint8_t* argmax) {
  const ConvBands bands = forward_bands(d, f, batch);
  const int oh = f.pooled ? f.pool.out_h(d.oh()) : d.oh(), ow = f.pooled ? f.pool.out_w(d.ow()) : d.ow();
  const std::ptrdiff_t x_size = static_cast<std::ptrdiff_t>(d.h) * d.w * d.c,
                       y_size = static_cast<std::ptrdiff_t>(oh) * ow * d.o;
  const int grain = bands.count > 1 ? 1 : (batch + 63) / 64;  // images
  dev.parallel((batch + grain - 1) / grain * bands.count, [&](int task, int worker) {
    const int first = task / bands.count * grain, band = task % bands.count;
    for (int n = first; n < std::min(batch, first + grain); ++n)
      conv2d_forward_band<A>(dev, d, f, bands.begin(band), bands.end(band), x + n * x_size, packed,
                             start && start_row ? start + n * y_size : start, start_row, y + n * y_size,
                             argmax ? argmax + n * y_size : nullptr, dev.scratch(worker));
  });
}

/// Rows [from, to) of the padded image, the first of which lies at dframe, into dx (h, w, c).
template <class T>
void copy_from_frame(const ConvDims& d, const T* dframe, int from, int to, T* dx, bool add) {
  const Window& w = d.window;
  const std::size_t line = static_cast<std::size_t>(d.w * d.c),
                    framed = line + 2 * static_cast<std::size_t>(w.pw * d.c);
  for (int r = from; r < to; ++r, dframe += framed) {
    if (r < w.ph || r >= w.ph + d.h) continue;
    T* const out = dx + static_cast<std::size_t>(r - w.ph) * line;
    const T* const in = dframe + w.pw * d.c;
    if (add)
      for (std::size_t i = 0; i < line; ++i) out[i] += in[i];
    else
      std::copy(in, in + line, out);
  }
}

/// True where the gradients go through lists of nonzeros: a question of the instruction set, too.
template <RunTile Tile, class T>
bool takes_lists(const Cpu& dev) {
  return Tile.vectors > 0 && takes_avx2<T>(dev);
}

/// The gradients of one image: dw and db are added to, dx is written or added to; each may be null. dy has been multiplied
/// by the slope already. w and dw are by runs where lists are taken, else dw is in panels and w as it is.
template <RunTile Tile, class T>
void conv2d_backward_image(const Cpu& dev, const ConvDims& d, const Fuse& f, const T* x, const T* w,
                           const std::uint8_t* argmax, T* dy, T* dx, bool add_dx, T* dw, T* db, void* scratch) {
  const ConvBands bands = backward_bands(d, f);
  Scratch memory(scratch);
  const BackwardRoom<T> room(d, f, bands.rows, memory);
  const Window& win = d.window;
  const int ow = d.ow(), reach = ConvSizes(d).reach;
  const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(ConvSizes(d).frame_w) * d.c;
  const int y_w = f.pooled ? f.pool.out_w(ow) : ow, y_pixels = (f.pooled ? f.pool.out_h(d.oh()) : d.oh()) * y_w;
  int carried = 0;  // rows of dframe that the band before has begun
  for (int band = 0; band < bands.count; ++band) {
    const int r0 = bands.begin(band), r1 = bands.end(band), rows = r1 - r0;
    const int y0 = f.pooled ? r0 / f.pool.kh : r0, y_rows = f.pooled ? rows / f.pool.kh : rows;
    const std::uint8_t* const places = argmax + static_cast<std::ptrdiff_t>(y0) * y_w * d.o;
    T* dz = dy + static_cast<std::ptrdiff_t>(y0) * y_w * d.o;  // (y_rows y_w, o)
    if (f.channels_first) {
      transpose(dev, dy + y0 * y_w, d.o, y_rows * y_w, y_pixels, room.pooled, d.o, false);
      dz = room.pooled;
    }
    if (db) slope_and_sums_here<Act{}, T>(dev, dz, nullptr, y_rows * y_w, d.o, d.o, db, true);
    if (dw) copy_to_frame(d, x, r0 * win.sh, frame_rows(d, rows), room.frame);
    const int s0 = r0 * win.sh, s1 = r1 * win.sh, end = s0 + frame_rows(d, rows);
    if (dx) std::fill_n(room.dframe + carried * line, (std::max(end, s1) - s0 - carried) * line, T(0));

    bool done = false;
#if TENON_X86
    if constexpr (Tile.vectors > 0 && std::is_same_v<T, float>)
      if (takes_lists<Tile, T>(dev)) {
        Scratch more = memory;
        const SparseRoom lists(d, f, y_rows * y_w, more);
        avx2::sparse_gradients<Tile>(d, f, y_rows, y_w, dz, places, room.frame, w, dw, dx ? room.dframe : nullptr,
                                     lists);
        done = true;
      }
#endif
    if (!done) {
      if (f.pooled) {
        std::fill_n(room.dz, static_cast<std::size_t>(rows * ow * d.o), T(0));
        max_pool_gradient(dev, PoolDims{d.o, rows, ow, f.pool}, places, dz, room.dz);
        dz = room.dz;
      }
      const Patches patches(d, rows, room.tables);
      if (dw) conv_weight_gradient(dev, d, room.frame, patches, dz, dw, room.block);
      if (dx) conv_input_gradient(dev, d, patches, dz, w, room.dframe, room.block);
    }

    if (!dx) continue;
    const bool last = band + 1 == bands.count;
    copy_from_frame(d, room.dframe, s0, last ? end : s1, dx, add_dx);
    carried = std::max(0, reach - win.sh);
    if (!last)
      std::copy(room.dframe + (s1 - s0) * line, room.dframe + (s1 - s0 + carried) * line, room.dframe);
    else if (!add_dx)
      for (int row = std::max(0, end - win.ph); row < d.h; ++row)  // below the last window
        std::fill_n(dx + static_cast<std::ptrdiff_t>(row) * d.w * d.c, d.w * d.c, T(0));
  }
}

/// The sum of `chunks` arrays of n values, `size` apart, in order, in the first of them.
template <class T>
void sum_chunks(const Cpu& dev, T* partial, std::ptrdiff_t size, int chunks, std::size_t n) {
  for (int c = 1; c < chunks; ++c) {
    const T* const from = partial + c * size;
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) {
        avx2::add_range(partial, from, partial, 0, n);
        continue;
      }
#endif
    portable::add_range(partial, from, partial, 0, n);
  }
}

/// w (o, cg, kh, kw) as forward wants it.
template <class T>
void pack_weights(Cpu& dev, const ConvDims& d, const T* w, T* packed) {
  const ConvSizes s(d);
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_winograd<T>(dev, d))
      return dev.parallel(panels(d.o) * panels(d.c), [&](int task, int) {
        const int p = task / panels(d.c), c = task % panels(d.c) * panel;
        avx2::winograd_weights(w, s.depth, s.taps, false, d.o, d.c, p, c, std::min(d.c, c + panel), packed);
      });
#endif
  for (int g = 0; g < d.groups; ++g)
    pack_rows(dev, w + static_cast<std::size_t>(g * s.og) * s.depth, s.og, s.depth,
              packed + g * gemm_packed(s.og, s.depth));
}

/// w with each group turned round and each kernel flipped, as forward wants it: the weights of dx = conv(dz).
template <class T>
void pack_turned_weights(Cpu& dev, const ConvDims& d, const T* w, T* packed) {
  const ConvSizes s(d);
#if TENON_X86
  if constexpr (std::is_same_v<T, float>)
    if (takes_winograd<T>(dev, input_gradient_dims(d)))
      return dev.parallel(panels(d.c) * panels(d.o), [&](int task, int) {
        const int p = task / panels(d.o), o = task % panels(d.o) * panel;
        avx2::winograd_weights(w, s.taps, s.depth, true, d.c, d.o, p, o, std::min(d.o, o + panel), packed);
      });
#endif
  const int per_group = panels(s.cg);
  dev.parallel(d.groups * per_group, [&](int task, int) {
    const int g = task / per_group, c0 = task % per_group * panel, columns = s.cg - c0 < panel ? s.cg - c0 : panel;
    T* to = packed + static_cast<std::ptrdiff_t>(task) * s.og * s.taps * panel;
    for (int o = 0; o < s.og; ++o) {
      const T* const from = w + (static_cast<std::ptrdiff_t>(g * s.og + o) * s.cg + c0) * s.taps;
      for (int tap = s.taps - 1; tap >= 0; --tap, to += panel)
        for (int j = 0; j < panel; ++j) to[j] = j < columns ? from[j * s.taps + tap] : T(0);
    }
  });
}

template <Act A, RunTile Tile, class T>
void conv2d_backward_images(Cpu& dev, const ConvDims& d, const Fuse& f, int batch, const T* x, const T* w, const T* y,
                            const std::uint8_t* argmax, T* dy, T* dx, bool add_dx, T* dw, bool add_dw, T* db,
                            bool add_db, T* work) {
  const ConvSizes s(d);
  const int oh = f.pooled ? f.pool.out_h(s.oh) : s.oh, ow = f.pooled ? f.pool.out_w(s.ow) : s.ow;
  const std::ptrdiff_t x_size = static_cast<std::ptrdiff_t>(d.h) * d.w * d.c,
                       y_size = static_cast<std::ptrdiff_t>(oh) * ow * d.o;
  const std::ptrdiff_t dw_size = static_cast<std::ptrdiff_t>(conv2d_partial(d, f));
  const int grain = conv2d_grain(batch), chunks = (batch + grain - 1) / grain;
  const bool through = input_gradient_is_forward(d, f);
  T* const partial = work;                                                          // (chunks, dw_size)
  T* const partial_db = partial + conv2d_chunks * dw_size;                          // (chunks, o)
  T* const turned = partial_db + static_cast<std::ptrdiff_t>(conv2d_chunks) * d.o;  // the weights, for dx
  const T* weights = w;
  if constexpr (Tile.vectors > 0 && std::is_same_v<T, float>)
    if (dx && takes_lists<Tile, T>(dev)) {
      dev.parallel((d.o + 7) / 8, [&](int task, int) {
        weights_by_runs(d, ConvRuns(d), w, task * 8, std::min(d.o, task * 8 + 8), turned);
      });
      weights = turned;
    }

  dev.parallel(chunks, [&](int chunk, int worker) {
    T* const own_dw = dw ? partial + chunk * dw_size : nullptr;
    T* const own_db = db ? partial_db + static_cast<std::ptrdiff_t>(chunk) * d.o : nullptr;
    if (own_dw) std::fill_n(own_dw, dw_size, T(0));
    if (own_db) std::fill_n(own_db, d.o, T(0));
    for (int n = chunk * grain; n < std::min(batch, (chunk + 1) * grain); ++n) {
      T* const g = dy + n * y_size;
      if constexpr (A.kind != Activation::none)
        slope_and_sums_here<A, T>(dev, g, y + n * y_size, 1, static_cast<int>(y_size), 0, nullptr, false);
      conv2d_backward_image<Tile>(dev, d, f, x + n * x_size, weights, argmax ? argmax + n * y_size : nullptr, g,
                                  dx && !through ? dx + n * x_size : nullptr, add_dx, own_dw, own_db,
                                  dev.scratch(worker));
    }
  });

  if (db) {
    sum_chunks(dev, partial_db, d.o, chunks, static_cast<std::size_t>(d.o));
    for (int o = 0; o < d.o; ++o) db[o] = add_db ? db[o] + partial_db[o] : partial_db[o];
  }
  if (dw && !takes_lists<Tile, T>(dev)) {
    constexpr int most = 128;  // rows of a panel in a task
    const int across = panels(s.og), down = (s.depth + most - 1) / most;
    dev.parallel(d.groups * across * down, [&](int task, int) {
      const int k = task % down * most, p = task / down, g = p / across, j = p % across * panel;
      const int rows = s.depth - k < most ? s.depth - k : most, columns = s.og - j < panel ? s.og - j : panel;
      T* const from = partial + (static_cast<std::ptrdiff_t>(p) * s.depth + k) * panel;
      sum_chunks(dev, from, dw_size, chunks, static_cast<std::size_t>(rows * panel));
      transpose(dev, from, rows, columns, panel, dw + static_cast<std::ptrdiff_t>(g * s.og + j) * s.depth + k, s.depth,
                add_dw);
    });
  }
  if constexpr (Tile.vectors > 0 && std::is_same_v<T, float>)
    if (dw && takes_lists<Tile, T>(dev))
      dev.parallel((d.o + 7) / 8, [&](int task, int) {
        const ConvRuns runs(d);
        const int begin = task * 8, end = std::min(d.o, begin + 8);
        for (int i = 0; i < d.window.kh; ++i)
          sum_chunks(dev, partial + (static_cast<std::ptrdiff_t>(i) * d.o + begin) * runs.padded(), dw_size, chunks,
                     static_cast<std::size_t>((end - begin) * runs.padded()));
        weights_from_runs(d, runs, partial, begin, end, dw, add_dw);
      });
  if (dx && through) {
    pack_turned_weights(dev, d, w, turned);
    conv2d_forward_images<Act{}>(dev, input_gradient_dims(d), Fuse{}, batch, dy, turned, add_dx ? dx : nullptr, d.c, dx,
                                 nullptr);
  }
}

/// w (O, C / groups, kh, kw) as conv2d_forward reads it; which way depends on dev's instruction set.
template <class T, ConvDims D, int O, int CG, int KH, int KW>
void conv2d_prepare(Cpu& dev, Conv<D>, In<T, O, CG, KH, KW> w, Span<T> packed) {
  pack_weights(dev, D, w.data, packed.data);
}

template <class T, ConvDims D, Fuse F, int... Y>
void conv2d_forward(Cpu& dev, Conv<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x,
                    std::type_identity_t<Span<const T>> packed, std::type_identity_t<In<T, D.o>> b, Epilogue<F>,
                    Out<T, Batch, Y...> y, std::type_identity_t<Out<std::uint8_t, Batch, Y...>> argmax) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  conv2d_forward_images<F.act>(dev, D, F, y.batch, x.data, packed.data, b.data, 0, y.data, argmax.data);
}

/// dy is written over. dx, dw and db may each be null; so may y where there is no activation.
template <class T, ConvDims D, Fuse F, int CG, int KH, int KW, int... Y>
void conv2d_backward(Cpu& dev, Conv<D>, std::type_identity_t<In<T, Batch, D.h, D.w, D.c>> x, In<T, D.o, CG, KH, KW> w,
                     std::type_identity_t<In<T, Batch, Y...>> y,
                     std::type_identity_t<In<std::uint8_t, Batch, Y...>> argmax, Epilogue<F>, Out<T, Batch, Y...> dy,
                     std::type_identity_t<Into<T, Batch, D.h, D.w, D.c>> dx,
                     std::type_identity_t<Into<T, D.o, CG, KH, KW>> dw, std::type_identity_t<Into<T, D.o>> db,
                     Span<T> work) {
  static_assert(!F.pooled || tiles_image(F.pool), "tenon: a convolution's epilogue pools windows that tile the image");
  static_assert(F.act.from_output(), "tenon: an activation fused for training must give its slope from its value");
  constexpr RunTile tile = conv2d_is_sparse(D, F) ? ConvRuns(D).tile : RunTile{};
  conv2d_backward_images<F.act, tile>(dev, D, F, dy.batch, x.data, w.data, y.data, argmax.data, dy.data, dx.data,
                                      dx.add, dw.data, dw.add, db.data, db.add, work.data);
}

}  // namespace tenon::kernels
