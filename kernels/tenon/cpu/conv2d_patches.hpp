// The patch matrix X of a convolution: row n holds the values under the kernel at output pixel n. It is never stored whole.
//   frame     some rows of an image with its padding, channels-last: (rows, w + 2 pw, c)
//   patches   X (n, k) = frame[pixel[n] + tap[k]], k = (channel of the group, ky, kx) as in PyTorch's weights
// Forward computes X w^T. The gradient of w is dz^T X. The gradient of x adds dz w at the positions that X reads. The two
// tables cover any stride, dilation and number of groups.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tenon/core/geometry.hpp"
#include "tenon/cpu/gemm_tile.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Hands out pieces of a worker's scratch. With a null base the same calls only count the bytes.
class PatchScratch {
 public:
  constexpr PatchScratch() = default;
  explicit PatchScratch(void* base) : base_(static_cast<std::byte*>(base)) {}
  template <class T>
  constexpr T* take(std::size_t n) {
    const std::size_t at = bytes_;
    bytes_ += (n * sizeof(T) + 63) / 64 * 64;
    return base_ ? static_cast<T*>(static_cast<void*>(base_ + at)) : nullptr;
  }
  constexpr std::size_t bytes() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Sizes derived from ConvDims, computed once.
struct ConvSizes {
  int cg, og;       // inputs and outputs of one group
  int taps, depth;  // kh kw, and K = cg kh kw
  int oh, ow;
  int frame_w, reach;  // pixels in a row of the frame; rows under the kernel

  constexpr explicit ConvSizes(const ConvDims& d)
      : cg(d.c / d.groups),
        og(d.o / d.groups),
        taps(d.window.kh * d.window.kw),
        depth(cg * taps),
        oh(d.oh()),
        ow(d.ow()),
        frame_w(d.w + 2 * d.window.pw),
        reach(d.window.dh * (d.window.kh - 1) + 1) {}
};

/// Rows of the result, split into `count` bands of whole units. A worker processes one band at a time.
struct ConvBands {
  int total, unit, units, count, rows;  // rows to compute; rows of a unit; units; bands; rows of the largest band

  /// Makes `want` bands, at most one per unit. A unit is an even number of rows: two, or with a pool one or two windows.
  constexpr ConvBands(const ConvDims& d, const Epilogue& f, long long want)
      : total(f.pooled ? f.pool.out_h(d.oh()) * f.pool.kh : d.oh()),
        unit(!f.pooled       ? 2
             : f.pool.kh % 2 ? 2 * f.pool.kh
                             : f.pool.kh),
        units((total + unit - 1) / unit),
        count(1),
        rows(0) {
    count = want < 1 ? 1 : want > units ? units : static_cast<int>(want);
    for (int b = 0; b < count; ++b) rows = end(b) - begin(b) > rows ? end(b) - begin(b) : rows;
  }
  constexpr int begin(int band) const { return static_cast<int>(static_cast<long long>(units) * band / count) * unit; }
  constexpr int end(int band) const { return begin(band + 1) < total ? begin(band + 1) : total; }
};

/// Rows of the frame that `rows` rows of the result read.
constexpr int frame_rows(const ConvDims& d, int rows) { return (rows - 1) * d.window.sh + ConvSizes(d).reach; }

/// Values beyond the end of a frame that a vector may access.
constexpr std::size_t frame_slack(const ConvDims& d) { return 16 + static_cast<std::size_t>(d.window.kw * d.c / 8); }

constexpr std::size_t frame_size(const ConvDims& d, int rows) {
  return static_cast<std::size_t>(frame_rows(d, rows)) * static_cast<std::size_t>(ConvSizes(d).frame_w) *
             static_cast<std::size_t>(d.c) +
         frame_slack(d);
}

/// frame = rows [first, first + rows) of the padded image x (h, w, c). Row 0 is the first row of the padding.
template <class T>
void copy_to_frame(const ConvDims& d, const T* x, int first, int rows, T* frame) {
  const Window& w = d.window;
  const std::size_t side = static_cast<std::size_t>(w.pw * d.c), line = static_cast<std::size_t>(d.w * d.c);
  for (int r = 0; r < rows; ++r, frame += 2 * side + line) {
    const int y = first + r - w.ph;
    if (y < 0 || y >= d.h) {
      std::memset(static_cast<void*>(frame), 0, (2 * side + line) * sizeof(T));
      continue;
    }
    std::memset(static_cast<void*>(frame), 0, side * sizeof(T));
    std::memcpy(static_cast<void*>(frame + side), x + static_cast<std::size_t>(y) * line, line * sizeof(T));
    std::memset(static_cast<void*>(frame + side + line), 0, side * sizeof(T));
  }
  std::memset(static_cast<void*>(frame), 0, frame_slack(d) * sizeof(T));
}

/// The two tables for `rows` rows of the result. Without padding the image itself is the frame.
struct Patches {
  int pixels;
  int* pixel;  // (rows ow)
  int* tap;    // (K)

  static constexpr std::size_t size(const ConvDims& d, int rows) {
    return static_cast<std::size_t>(rows * d.ow() + ConvSizes(d).depth);
  }
  /// Pixels are ordered row by row. If `pool` is given, they are ordered by window, without pixels outside all windows.
  Patches(const ConvDims& d, int rows, int* memory, const Window* pool = nullptr)
      : pixels(0), pixel(memory), tap(nullptr) {
    const ConvSizes s(d);
    const Window& w = d.window;
    const int down = pool ? pool->kh : 1, across = pool ? pool->kw : 1;
    int* to = pixel;
    for (int y = 0; y + down <= rows; y += down)
      for (int x = 0; x + across <= s.ow; x += across)
        for (int i = 0; i < down; ++i)
          for (int j = 0; j < across; ++j) *to++ = ((y + i) * w.sh * s.frame_w + (x + j) * w.sw) * d.c;
    pixels = static_cast<int>(to - pixel);
    tap = to;
    for (int c = 0; c < s.cg; ++c)
      for (int i = 0; i < w.kh; ++i)
        for (int j = 0; j < w.kw; ++j) *to++ = (i * w.dh * s.frame_w + j * w.dw) * d.c + c;
  }
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
