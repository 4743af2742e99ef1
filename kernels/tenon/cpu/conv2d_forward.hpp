// Convolution forward, for sizes known at run time. conv2d.hpp describes the shapes.
//   x (batch, h, w, c), packed weights, start   ->   y (batch, ...) in the order of the epilogue, argmax
// Strategy  a task owns a band of rows of an image, or a few images. Activation and pooling are applied while the band is
//           in cache.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tenon/cpu/conv2d_plan.hpp"
#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/cpu/transpose.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Packs w (o, cg, kh, kw) for conv2d_forward_images.
template <bool Winograd, class T>
void pack_weights(Cpu& dev, const ConvDims& d, const T* w, T* packed) {
  const ConvSizes s(d);
#if TENON_X86
  if constexpr (Winograd && std::is_same_v<T, float>)
    if (takes_avx2<T>(dev))
      return dev.parallel(panels(d.o) * panels(d.c), [&](int task, int) {
        const int p = task / panels(d.c), c = task % panels(d.c) * panel;
        avx2::winograd_weights(w, s.depth, s.taps, false, d.o, d.c, p, c, std::min(d.c, c + panel), packed);
      });
#endif
  for (int g = 0; g < d.groups; ++g)
    pack_rows(dev, w + static_cast<std::size_t>(g * s.og) * s.depth, s.og, s.depth,
              packed + g * gemm_packed(s.og, s.depth));
}

/// One band of one image. The sums begin at `start`: the bias (start_row 0), or rows of the tensor to add to. Null means 0.
template <Activation A, ForwardPaths P, class T>
void conv2d_forward_band(const Cpu& dev, const ConvDims& d, const Epilogue& f, int r0, int r1, const T* x,
                         const T* packed, const T* start, std::ptrdiff_t start_row, T* y, std::uint8_t* argmax,
                         void* scratch) {
  const int rows = r1 - r0, ow = d.ow();
  PatchScratch memory(scratch);
  const ForwardRoom<T> room(d, f, rows, memory);
  const std::ptrdiff_t above = static_cast<std::ptrdiff_t>(r0) * ow;  // pixels before this band
  const PoolDims pool{d.o, rows, ow, f.pool};
  const std::ptrdiff_t before =
      f.pooled ? static_cast<std::ptrdiff_t>(r0 / f.pool.kh) * pool.ow() : above;  // pixels of y before this band
  std::uint8_t* const places = argmax ? argmax + before * d.o : nullptr;
  T* const image = f.pooled || f.channels_first ? room.image : y + above * d.o;
  T* const pooled = f.channels_first ? room.pooled : y + before * d.o;
  if (start) start += above * start_row;

  bool done = false;
#if TENON_X86
  if constexpr (P.winograd && std::is_same_v<T, float>)
    if (takes_avx2<T>(dev)) {
      const WinogradRoom winograd(d, rows, memory);
      copy_to_frame(d, x, r0, frame_rows(d, rows), winograd.frame);
      avx2::winograd_forward(
          d, winograd, packed,
          avx2::WinogradResult<A>{rows, ow, d.o, start, start_row, P.pools ? pooled : image, P.pools, places});
      if (f.pooled && !P.pools) max_pool(dev, pool, image, pooled, places);
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
    if constexpr (P.pools && !P.winograd && std::is_same_v<T, float>)
      if (takes_avx2<T>(dev)) {
        avx2::conv_forward_pooled<A>(d, frame, Patches(d, rows, direct.tables, &f.pool), packed, start, pooled, places);
        done = true;
      }
#endif
    if (!done) {
      const Patches patches(d, rows, direct.tables);
      if constexpr (P.winograd || P.pools)  // with AVX2 it is done
        portable::conv_forward<A>(d, frame, patches, packed, start, start_row, image, direct.block);
      else
        conv_forward<A>(dev, d, frame, patches, packed, start, start_row, image, direct.block);
      if (f.pooled) max_pool(dev, pool, image, pooled, places);
    }
  }
  if (!f.channels_first) return;
  if (f.pooled)
    transpose(dev, pooled, pool.oh() * pool.ow(), d.o, d.o, y + before, f.pool.out_h(d.oh()) * pool.ow(), false);
  else
    transpose(dev, image, rows * ow, d.o, d.o, y + above, d.oh() * ow, false);
}

template <Activation A, ForwardPaths P, class T>
void conv2d_forward_images(Cpu& dev, const ConvDims& d, const Epilogue& f, int batch, const T* x, const T* packed,
                           const T* start, std::ptrdiff_t start_row, T* y, std::uint8_t* argmax) {
  if (batch < 1) return;
  const ConvBands bands = forward_bands(d, f, batch);
  const int oh = f.pooled ? f.pool.out_h(d.oh()) : d.oh(), ow = f.pooled ? f.pool.out_w(d.ow()) : d.ow();
  const std::ptrdiff_t x_size = static_cast<std::ptrdiff_t>(d.h) * d.w * d.c,
                       y_size = static_cast<std::ptrdiff_t>(oh) * ow * d.o;
  const int grain = bands.count > 1 ? 1 : (batch + 63) / 64;  // images per task
  dev.parallel((batch + grain - 1) / grain * bands.count, [&](int task, int worker) {
    const int first = task / bands.count * grain, band = task % bands.count;
    for (int n = first; n < std::min(batch, first + grain); ++n)
      conv2d_forward_band<A, P>(dev, d, f, bands.begin(band), bands.end(band), x + n * x_size, packed,
                                start && start_row ? start + n * y_size : start, start_row, y + n * y_size,
                                argmax ? argmax + n * y_size : nullptr, dev.scratch(worker));
  });
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
