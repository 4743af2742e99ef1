// Gradients of a convolution, for sizes known at run time. conv2d.hpp describes the shapes.
//   x, w, y, argmax, dy   ->   dx, dw, db
// Strategy  a task owns a chunk of images and a partial dw and db, which are added in order afterwards. An image is
//           processed in bands of rows. Two consecutive bands may share rows of dx: the sums of the first band in these
//           rows are carried over to the second.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/cpu/conv2d_forward.hpp"
#include "tenon/cpu/conv2d_plan.hpp"
#include "tenon/cpu/derivative.hpp"
#include "tenon/cpu/elementwise.hpp"
#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/cpu/transpose.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Packs the weights of dx = conv(dz) for conv2d_forward_images: inputs and outputs of each group are exchanged, and each
/// kernel is flipped.
template <bool Winograd, class T>
void pack_turned_weights(Cpu& dev, const ConvDims& d, const T* w, T* packed) {
  const ConvSizes s(d);
#if TENON_X86
  if constexpr (Winograd && std::is_same_v<T, float>)
    if (takes_avx2<T>(dev))
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

/// Copies or adds rows [from, to) of the padded image to dx (h, w, c). dframe points to row `from`.
template <class T>
void copy_from_frame(const ConvDims& d, const T* dframe, int from, int to, T* dx, bool accumulate) {
  const Window& w = d.window;
  const std::size_t line = static_cast<std::size_t>(d.w * d.c),
                    framed = line + 2 * static_cast<std::size_t>(w.pw * d.c);
  for (int r = from; r < to; ++r, dframe += framed) {
    if (r < w.ph || r >= w.ph + d.h) continue;
    T* const out = dx + static_cast<std::size_t>(r - w.ph) * line;
    const T* const in = dframe + w.pw * d.c;
    if (accumulate)
      for (std::size_t i = 0; i < line; ++i) out[i] += in[i];
    else
      std::copy(in, in + line, out);
  }
}

/// The gradients of one image. Adds to dw and db; writes dx or adds to it. Each may be null. dy is already multiplied by
/// the derivative of the activation. With WeightGradient::runs, w and dw are in the layout of runs. Otherwise w is not
/// packed, and dw is in panels or in Winograd's layout.
template <BackwardPaths P, class T>
void conv2d_backward_image(const Cpu& dev, const ConvDims& d, const Epilogue& f, const T* x, const T* w,
                           const std::uint8_t* argmax, T* dy, T* dx, bool add_dx, T* dw, T* db, void* scratch) {
  const ConvBands bands = backward_bands(d, f);
  PatchScratch memory(scratch);
  const BackwardRoom<T> room(d, f, bands.rows, memory);
  const Window& win = d.window;
  const int ow = d.ow(), reach = ConvSizes(d).reach;
  const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(ConvSizes(d).frame_w) * d.c;
  const int y_w = f.pooled ? f.pool.out_w(ow) : ow, y_pixels = (f.pooled ? f.pool.out_h(d.oh()) : d.oh()) * y_w;
  int carried = 0;  // rows of dframe that hold sums of the previous band
  for (int band = 0; band < bands.count; ++band) {
    const int r0 = bands.begin(band), r1 = bands.end(band), rows = r1 - r0;
    const int y0 = f.pooled ? r0 / f.pool.kh : r0, y_rows = f.pooled ? rows / f.pool.kh : rows;
    const std::uint8_t* const places = argmax ? argmax + static_cast<std::ptrdiff_t>(y0) * y_w * d.o : nullptr;
    T* dz = dy + static_cast<std::ptrdiff_t>(y0) * y_w * d.o;  // (y_rows y_w, o)
    if (f.channels_first) {
      transpose(dev, dy + y0 * y_w, d.o, y_rows * y_w, y_pixels, room.pooled, d.o, false);
      dz = room.pooled;
    }
    if (db) derivative_and_sums_here<Activation{}, T>(dev, dz, nullptr, y_rows * y_w, d.o, d.o, db, true);
    const WeightGradient by = takes_avx2<T>(dev) ? P.weights : WeightGradient::panels;
    if (dw) copy_to_frame(d, x, r0 * win.sh, frame_rows(d, rows), room.frame);
    // Winograd's tiles may read one row and one pixel beyond the band. Their gradients there are zero, but zero times a NaN
    // or an infinity left in memory is not zero.
    if (dw && by == WeightGradient::winograd)
      std::fill_n(room.frame + frame_rows(d, rows) * line, line + d.c + static_cast<std::ptrdiff_t>(frame_slack(d)),
                  T(0));
    const int s0 = r0 * win.sh, s1 = r1 * win.sh, end = s0 + frame_rows(d, rows);
    if (dx) std::fill_n(room.dframe + carried * line, (std::max(end, s1) - s0 - carried) * line, T(0));

#if TENON_X86
    if constexpr (std::is_same_v<T, float>) {
      [[maybe_unused]] PatchScratch more = memory;
      if constexpr (P.weights == WeightGradient::runs)
        if (by == WeightGradient::runs)
          avx2::sparse_gradients<P.tile>(d, f, y_rows, y_w, dz, places, room.frame, w, dw, dx ? room.dframe : nullptr,
                                         SparseRoom(d, f, y_rows * y_w, more));
      if constexpr (P.weights == WeightGradient::winograd)
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
      if (dw && by == WeightGradient::panels) {
        if constexpr (P.weights == WeightGradient::panels)
          conv_weight_gradient(dev, d, room.frame, patches, dz, dw, room.block);
        else  // without AVX2
          portable::conv_weight_gradient(d, room.frame, patches, dz, dw, room.block);
      }
      if constexpr (P.input == InputGradient::scattered)
        if (dx) conv_input_gradient(dev, d, patches, dz, w, room.dframe, room.block);
    }

    if (P.input != InputGradient::scattered || !dx) continue;
    const bool last = band + 1 == bands.count;
    copy_from_frame(d, room.dframe, s0, last ? end : s1, dx, add_dx);
    carried = std::max(0, reach - win.sh);
    if (!last)
      std::copy(room.dframe + (s1 - s0) * line, room.dframe + (s1 - s0 + carried) * line, room.dframe);
    else if (!add_dx)
      for (int row = std::max(0, end - win.ph); row < d.h; ++row)  // rows below the last window
        std::fill_n(dx + static_cast<std::ptrdiff_t>(row) * d.w * d.c, d.w * d.c, T(0));
  }
}

/// Adds `chunks` arrays of n values, `size` apart, in order. The first array receives the sum.
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

/// dw (o, cg, kh, kw) = the sum of `chunks` partial sums, which are `size` apart; or += it. With AVX2 they are in the layout
/// of `By`.
template <WeightGradient By, class T>
void add_partial_weights(Cpu& dev, const ConvDims& d, T* partial, std::ptrdiff_t size, int chunks, T* dw,
                         bool accumulate) {
  const ConvSizes s(d);
#if TENON_X86
  if constexpr (By == WeightGradient::runs && std::is_same_v<T, float>)
    if (takes_avx2<T>(dev))
      return dev.parallel((d.o + 7) / 8, [&](int task, int) {
        const ConvRuns runs(d);
        const int begin = task * 8, end = std::min(d.o, begin + 8);
        for (int i = 0; i < d.window.kh; ++i)
          sum_chunks(dev, partial + (static_cast<std::ptrdiff_t>(i) * d.o + begin) * runs.padded(), size, chunks,
                     static_cast<std::size_t>((end - begin) * runs.padded()));
        weights_from_runs(d, runs, partial, begin, end, dw, accumulate);
      });
  if constexpr (By == WeightGradient::winograd && std::is_same_v<T, float>)
    if (takes_avx2<T>(dev))
      return dev.parallel(panels(d.o) * panels(d.c), [&](int task, int) {
        const int p = task / panels(d.c), c = task % panels(d.c) * panel, end = std::min(d.c, c + panel);
        for (int position = 0; position < 16; ++position)
          sum_chunks(dev, partial + ((static_cast<std::ptrdiff_t>(p) * 16 + position) * d.c + c) * panel, size, chunks,
                     static_cast<std::size_t>((end - c) * panel));
        avx2::winograd_weights_back(d, partial, p, c, end, dw, accumulate);
      });
#endif
  constexpr int max = 128;  // rows of a panel per task
  const int across = panels(s.og), down = (s.depth + max - 1) / max;
  dev.parallel(d.groups * across * down, [&](int task, int) {
    const int k = task % down * max, p = task / down, g = p / across, j = p % across * panel;
    const int rows = std::min(max, s.depth - k), columns = std::min(panel, s.og - j);
    T* const from = partial + (static_cast<std::ptrdiff_t>(p) * s.depth + k) * panel;
    sum_chunks(dev, from, size, chunks, static_cast<std::size_t>(rows * panel));
    transpose(dev, from, rows, columns, panel, dw + static_cast<std::ptrdiff_t>(g * s.og + j) * s.depth + k, s.depth,
              accumulate);
  });
}

template <Activation A, BackwardPaths P, class T>
void conv2d_backward_images(Cpu& dev, const ConvDims& d, const Epilogue& f, int batch, const T* x, const T* w,
                            const T* y, const std::uint8_t* argmax, T* dy, T* dx, bool add_dx, T* dw, bool add_dw,
                            T* db, bool add_db, T* work) {
  const int oh = f.pooled ? f.pool.out_h(d.oh()) : d.oh(), ow = f.pooled ? f.pool.out_w(d.ow()) : d.ow();
  const std::ptrdiff_t x_size = static_cast<std::ptrdiff_t>(d.h) * d.w * d.c,
                       y_size = static_cast<std::ptrdiff_t>(oh) * ow * d.o;
  const std::ptrdiff_t dw_size = static_cast<std::ptrdiff_t>(conv2d_partial(d, f));
  if (batch < 1) return;
  const int max = conv2d_chunks(d, f), grain = (batch + max - 1) / max, chunks = (batch + grain - 1) / grain;
  T* const partial = work;                                                                 // (chunks, dw_size)
  T* const partial_db = partial + max * dw_size;                                           // (chunks, o)
  [[maybe_unused]] T* const turned = partial_db + static_cast<std::ptrdiff_t>(max) * d.o;  // weights, repacked for dx
  const T* weights = w;
  if constexpr (P.input == InputGradient::scattered && P.weights == WeightGradient::runs && std::is_same_v<T, float>)
    if (dx && takes_avx2<T>(dev)) {
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
        derivative_and_sums_here<A, T>(dev, g, y + n * y_size, 1, static_cast<int>(y_size), 0, nullptr, false);
      T* const own_dx = P.input == InputGradient::scattered && dx ? dx + n * x_size : nullptr;
      conv2d_backward_image<P>(dev, d, f, x + n * x_size, weights, argmax ? argmax + n * y_size : nullptr, g, own_dx,
                               add_dx, own_dw, own_db, dev.scratch(worker));
    }
  });

  if (db) {
    sum_chunks(dev, partial_db, d.o, chunks, static_cast<std::size_t>(d.o));
    for (int o = 0; o < d.o; ++o) db[o] = add_db ? db[o] + partial_db[o] : partial_db[o];
  }
  if (dw) add_partial_weights<P.weights>(dev, d, partial, dw_size, chunks, dw, add_dw);
  if constexpr (P.input == InputGradient::forward)
    if (dx) {
      pack_turned_weights<P.input_forward.winograd>(dev, d, w, turned);
      conv2d_forward_images<Activation{}, P.input_forward>(dev, input_gradient_dims(d), Epilogue{}, batch, dy, turned,
                                                           add_dx ? dx : nullptr, d.c, dx, nullptr);
    }
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
