// Gradients of a convolution, for sizes known at run time; conv2d.hpp has the shapes.
//   x, w, y, argmax, dy   ->   dx, dw, db
// Strategy  a task owns a chunk of images and a dw and a db of its own, which are added in order afterwards. An image is
//           gone through in bands of rows; what a band adds to the rows of dx that the next one shares is carried on.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/cpu/conv2d_forward.hpp"
#include "tenon/cpu/conv2d_plan.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/cpu/slope.hpp"
#include "tenon/cpu/transpose.hpp"

namespace tenon::kernels {

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
    const std::uint8_t* const places = argmax ? argmax + static_cast<std::ptrdiff_t>(y0) * y_w * d.o : nullptr;
    T* dz = dy + static_cast<std::ptrdiff_t>(y0) * y_w * d.o;  // (y_rows y_w, o)
    if (f.channels_first) {
      transpose(dev, dy + y0 * y_w, d.o, y_rows * y_w, y_pixels, room.pooled, d.o, false);
      dz = room.pooled;
    }
    if (db) slope_and_sums_here<Act{}, T>(dev, dz, nullptr, y_rows * y_w, d.o, d.o, db, true);
    const WeightGradient by = weight_gradient<T>(dev, d, f);
    if (dw) copy_to_frame(d, x, r0 * win.sh, frame_rows(d, rows), room.frame);
    // Winograd's tiles overrun by a row and a pixel. Their gradients there are zero, but zero times what was left is not.
    if (dw && by == WeightGradient::winograd)
      std::fill_n(room.frame + frame_rows(d, rows) * line, line + d.c + static_cast<std::ptrdiff_t>(frame_slack(d)),
                  T(0));
    const int s0 = r0 * win.sh, s1 = r1 * win.sh, end = s0 + frame_rows(d, rows);
    if (dx) std::fill_n(room.dframe + carried * line, (std::max(end, s1) - s0 - carried) * line, T(0));

#if TENON_X86
    if constexpr (std::is_same_v<T, float>) {
      Scratch more = memory;
      if constexpr (Tile.vectors > 0)
        if (by == WeightGradient::runs)
          avx2::sparse_gradients<Tile>(d, f, y_rows, y_w, dz, places, room.frame, w, dw, dx ? room.dframe : nullptr,
                                       SparseRoom(d, f, y_rows * y_w, more));
      if (by == WeightGradient::winograd && dw)
        avx2::winograd_weight_gradient(d, rows, room.frame, dz, WinogradGradientRoom(d, more), dw);
    }
#endif
    if (by != WeightGradient::runs && (dx || (dw && by == WeightGradient::panels))) {
      if (f.pooled) {
        std::fill_n(room.dz, static_cast<std::size_t>(rows * ow * d.o), T(0));
        max_pool_gradient(dev, PoolDims{d.o, rows, ow, f.pool}, places, dz, room.dz);
        dz = room.dz;
      }
      const Patches patches(d, rows, room.tables);
      if (dw && by == WeightGradient::panels) conv_weight_gradient(dev, d, room.frame, patches, dz, dw, room.block);
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
void sum_chunks([[maybe_unused]] const Cpu& dev, T* partial, std::ptrdiff_t size, int chunks, std::size_t n) {
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

/// dw (o, cg, kh, kw) = the sum of the partial sums, `size` apart, or += it.
template <class T>
void add_partial_weights(Cpu& dev, const ConvDims& d, [[maybe_unused]] WeightGradient by, T* partial,
                         std::ptrdiff_t size, int chunks, T* dw, bool add) {
  const ConvSizes s(d);
#if TENON_X86
  if constexpr (std::is_same_v<T, float>) {
    if (by == WeightGradient::runs)
      return dev.parallel((d.o + 7) / 8, [&](int task, int) {
        const ConvRuns runs(d);
        const int begin = task * 8, end = std::min(d.o, begin + 8);
        for (int i = 0; i < d.window.kh; ++i)
          sum_chunks(dev, partial + (static_cast<std::ptrdiff_t>(i) * d.o + begin) * runs.padded(), size, chunks,
                     static_cast<std::size_t>((end - begin) * runs.padded()));
        weights_from_runs(d, runs, partial, begin, end, dw, add);
      });
    if (by == WeightGradient::winograd)
      return dev.parallel(panels(d.o) * panels(d.c), [&](int task, int) {
        const int p = task / panels(d.c), c = task % panels(d.c) * panel, end = std::min(d.c, c + panel);
        for (int position = 0; position < 16; ++position)
          sum_chunks(dev, partial + ((static_cast<std::ptrdiff_t>(p) * 16 + position) * d.c + c) * panel, size, chunks,
                     static_cast<std::size_t>((end - c) * panel));
        avx2::winograd_weights_back(d, partial, p, c, end, dw, add);
      });
  }
#endif
  constexpr int most = 128;  // rows of a panel in a task
  const int across = panels(s.og), down = (s.depth + most - 1) / most;
  dev.parallel(d.groups * across * down, [&](int task, int) {
    const int k = task % down * most, p = task / down, g = p / across, j = p % across * panel;
    const int rows = std::min(most, s.depth - k), columns = std::min(panel, s.og - j);
    T* const from = partial + (static_cast<std::ptrdiff_t>(p) * s.depth + k) * panel;
    sum_chunks(dev, from, size, chunks, static_cast<std::size_t>(rows * panel));
    transpose(dev, from, rows, columns, panel, dw + static_cast<std::ptrdiff_t>(g * s.og + j) * s.depth + k, s.depth,
              add);
  });
}

template <Act A, RunTile Tile, class T>
void conv2d_backward_images(Cpu& dev, const ConvDims& d, const Fuse& f, int batch, const T* x, const T* w, const T* y,
                            const std::uint8_t* argmax, T* dy, T* dx, bool add_dx, T* dw, bool add_dw, T* db,
                            bool add_db, T* work) {
  const int oh = f.pooled ? f.pool.out_h(d.oh()) : d.oh(), ow = f.pooled ? f.pool.out_w(d.ow()) : d.ow();
  const std::ptrdiff_t x_size = static_cast<std::ptrdiff_t>(d.h) * d.w * d.c,
                       y_size = static_cast<std::ptrdiff_t>(oh) * ow * d.o;
  const std::ptrdiff_t dw_size = static_cast<std::ptrdiff_t>(conv2d_partial(d, f));
  if (batch < 1) return;
  const int most = conv2d_chunks(d, f), grain = (batch + most - 1) / most, chunks = (batch + grain - 1) / grain;
  const bool through = input_gradient_is_forward(d, f);
  const WeightGradient by = weight_gradient<T>(dev, d, f);
  T* const partial = work;                                                 // (chunks, dw_size)
  T* const partial_db = partial + most * dw_size;                          // (chunks, o)
  T* const turned = partial_db + static_cast<std::ptrdiff_t>(most) * d.o;  // the weights, for dx
  const T* weights = w;
  if constexpr (std::is_same_v<T, float>)
    if (dx && by == WeightGradient::runs) {
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
  if (dw) add_partial_weights(dev, d, by, partial, dw_size, chunks, dw, add_dw);
  if (dx && through) {
    pack_turned_weights(dev, d, w, turned);
    conv2d_forward_images<Act{}>(dev, input_gradient_dims(d), Fuse{}, batch, dy, turned, add_dx ? dx : nullptr, d.c, dx,
                                 nullptr);
  }
}

}  // namespace tenon::kernels
