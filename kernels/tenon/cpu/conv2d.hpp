// Conv2d: y = order(max_pool(f(conv(x, w) + b))), and its gradients. Activation, pool and order are the epilogue's.
//   x (B, H, W, C)   w (O, C / groups, kh, kw)   b (O) or null   ->   y (B, H', W', O), or (B, O, H', W') channels-first
//   argmax, one byte an output, channels-last: the place of each maximum in its window, row by row
//
// Strategy  implicit product, one image a task: x is copied into a frame of zeros, where the values under one row of the
//           kernel lie together (a run). Tiles of up to 6 pixels x 16 outputs stay in registers over all runs.
// Gradients after a max-pool only one position of each window and channel has a gradient, so the dense image of
//           gradients is three quarters zeros or more. It is never made: for each output, the list of its positions with
//           a gradient is gone through, each adding its patch of x to dw, and its weights to the patch of dx. Otherwise
//           dw and dx are dense products on the same tiles. dw of a chunk of images is one partial sum; chunks, at most
//           16, are added in order.
// Cost      2 B H' W' O C kh kw / groups operations forward; the same for each gradient, or a quarter after a 2 x 2 pool.
//           A worker's scratch holds an image or two; see conv2d_scratch.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tenon/cpu/gemm.hpp"
#include "tenon/cpu/permute.hpp"

namespace tenon::kernels {

/// How the values that one output depends on lie in the frame: `rows` x `cols` runs of `run` values.
struct ConvRuns {
  int rows, cols, run;  // cols is 1 where the taps of a row touch
  int padded;           // the run, up to a multiple of 16
  int frame_h, frame_w; // padded image, in pixels
  int c, o, og;         // channels in all, outputs in all and of one group

  constexpr explicit ConvRuns(const ConvDims& d)
      : rows(d.window.kh),
        cols(merged(d) ? 1 : d.window.kw),
        run(merged(d) ? d.window.kw * d.c : d.c / d.groups),
        padded(round_up(run, gemm_columns)),
        frame_h(d.h + 2 * d.window.ph),
        frame_w(d.w + 2 * d.window.pw),
        c(d.c),
        o(d.o),
        og(d.o / d.groups) {}

  static constexpr bool merged(const ConvDims& d) { return d.groups == 1 && d.window.dw == 1; }
  constexpr int runs() const { return rows * cols; }
  constexpr std::size_t frame() const { return static_cast<std::size_t>(frame_h) * frame_w * c; }
  /// Weights by runs: (groups, rows, cols, og, padded).
  constexpr std::size_t weights() const { return static_cast<std::size_t>(runs()) * o * padded; }
};

inline constexpr int conv2d_chunks = 16;
inline constexpr int conv2d_block = 8;  // outputs whose positions are listed together
inline constexpr std::size_t conv2d_slack = 32;  // values that a vector may touch beyond the end

/// Values of T of the weights, rearranged for forward: (groups, og / 16, kh kw cg, 16).
constexpr std::size_t conv2d_packed(ConvDims d) {
  return static_cast<std::size_t>(d.groups) * gemm_packed(d.o / d.groups, d.window.kh * d.window.kw * (d.c / d.groups));
}

/// Values of T that backward shares: weights by runs, and for each chunk a partial dw and db.
constexpr std::size_t conv2d_workspace(ConvDims d, Fuse) {
  return ConvRuns(d).weights() * (conv2d_chunks + 1) + static_cast<std::size_t>(conv2d_chunks) * d.o;
}

/// Bytes of a worker's scratch: the frames of x and dx, the image before pooling and another, lists of positions.
template <class T>
constexpr std::size_t conv2d_scratch(ConvDims d, Fuse) {
  const std::size_t image = static_cast<std::size_t>(d.oh()) * d.ow() * d.o;
  const std::size_t lists = static_cast<std::size_t>(conv2d_block) * d.oh() * d.ow();
  return (2 * (ConvRuns(d).frame() + conv2d_slack) + 2 * (image + conv2d_slack) + lists) * sizeof(T) + lists * sizeof(std::int32_t);
}

/// Rows of images of a chunk, by the batch alone.
constexpr int conv2d_grain(int batch) { return ceil_div(batch, conv2d_chunks); }

namespace detail {

/// Up to 6 x 16 sums over runs: a and b move by (a1, b1) from row to row of runs, (a2, b2) from run to run.
template <class T>
struct TileSum {
  int n1, n2, k;
  const T* a;
  std::ptrdiff_t a1, a2, a_row, a_step;
  const T* b;
  std::ptrdiff_t b1, b2, b_step;
};

}  // namespace detail

namespace portable {

struct ConvKernels {
  /// to (rows, 16) = the sums.
  template <class T>
  static void tile(int rows, const detail::TileSum<T>& s, T* to) {
    using Strided = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    using Map = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Strided>;
    Eigen::Matrix<T, Eigen::Dynamic, gemm_columns, Eigen::RowMajor, 6, gemm_columns> acc;
    acc.setZero(rows, gemm_columns);
    for (int i = 0; i < s.n1; ++i)
      for (int j = 0; j < s.n2; ++j) {
        const Map a(s.a + i * s.a1 + j * s.a2, rows, s.k, Strided(s.a_row, s.a_step));
        const Map b(s.b + i * s.b1 + j * s.b2, s.k, gemm_columns, Strided(s.b_step, 1));
        acc.noalias() += a.lazyProduct(b);
      }
    std::copy(acc.data(), acc.data() + rows * gemm_columns, to);
  }

  /// to (rows, cols) = f(tile + bias)
  template <Act A, class T>
  static void finish(int rows, int cols, const T* tile, const T* bias, T* to, std::ptrdiff_t row) {
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < cols; ++j) to[r * row + j] = Activate<A>::of(bias ? tile[r * gemm_columns + j] + bias[j] : tile[r * gemm_columns + j]);
  }

  /// to (rows, cols) += tile, row after row: rows may overlap in memory.
  template <class T>
  static void add(int rows, int cols, const T* tile, T* to, std::ptrdiff_t row) {
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < cols; ++j) to[r * row + j] += tile[r * gemm_columns + j];
  }

  /// One row of pooled pixels: image (kh, ow, o) -> y (pw, o).
  template <class T>
  static void pool_row(const T* image, int ow, int o, int kh, int kw, int pw, T* y, std::uint8_t* argmax) {
    for (int p = 0; p < pw; ++p)
      for (int c = 0; c < o; ++c) {
        const T* const from = image + static_cast<std::ptrdiff_t>(p) * kw * o + c;
        T most = from[0];
        int place = 0;
        for (int i = 0; i < kh; ++i)
          for (int j = 0; j < kw; ++j) {
            const T v = from[(static_cast<std::ptrdiff_t>(i) * ow + j) * o];
            if (v > most || v != v) most = v, place = i * kw + j;
          }
        y[p * o + c] = most;
        if (argmax) argmax[p * o + c] = static_cast<std::uint8_t>(place);
      }
  }

  /// to (n) += sum over entries of gradient times the n values at from + offset
  template <class T>
  static void gather_runs(const T* from, int rows, std::ptrdiff_t row, int n, const std::int32_t* offset, const T* gradient,
                          int entries, T* to, std::ptrdiff_t to_row) {
    for (int e = 0; e < entries; ++e)
      for (int r = 0; r < rows; ++r)
        for (int i = 0; i < n; ++i) to[r * to_row + i] += gradient[e] * from[offset[e] + r * row + i];
  }

  /// for every entry: to + offset (rows, n) += gradient * from (rows, n)
  template <class T>
  static void scatter_runs(const T* from, std::ptrdiff_t from_row, int rows, int n, const std::int32_t* offset, const T* gradient,
                           int entries, T* to, std::ptrdiff_t row) {
    for (int e = 0; e < entries; ++e)
      for (int r = 0; r < rows; ++r)
        for (int i = 0; i < n; ++i) to[offset[e] + r * row + i] += gradient[e] * from[r * from_row + i];
  }

  template <class T>
  static void transpose(const T* x, int rows, int cols, T* y) {
    portable::transpose(x, rows, cols, 0, y, false);
  }
};

}  // namespace portable

#if TENON_X86
namespace avx2 {

template <int R>
TENON_AVX2 inline void tile_sum(const tenon::kernels::detail::TileSum<float>& s, float* to) {
  __m256 v[R][2];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) v[r][0] = v[r][1] = _mm256_setzero_ps();
  for (int i = 0; i < s.n1; ++i)
    for (int j = 0; j < s.n2; ++j) {
      const float* a = s.a + i * s.a1 + j * s.a2;
      const float* b = s.b + i * s.b1 + j * s.b2;
      for (int k = 0; k < s.k; ++k, a += s.a_step, b += s.b_step) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        TENON_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m256 ar = _mm256_broadcast_ss(a + r * s.a_row);
          v[r][0] = _mm256_fmadd_ps(ar, b0, v[r][0]);
          v[r][1] = _mm256_fmadd_ps(ar, b1, v[r][1]);
        }
      }
    }
  TENON_UNROLL
  for (int r = 0; r < R; ++r) {
    _mm256_storeu_ps(to + r * gemm_columns, v[r][0]);
    _mm256_storeu_ps(to + r * gemm_columns + 8, v[r][1]);
  }
}

/// Rows x NV vectors of sums in registers, over all entries: the inner loop of dw after a pool.
template <int Rows, int NV>
TENON_AVX2 inline void gather_block(const float* from, std::ptrdiff_t row, const std::int32_t* offset, const float* gradient,
                                    int entries, float* to, std::ptrdiff_t to_row) {
  __m256 v[Rows][NV];
  TENON_UNROLL
  for (int r = 0; r < Rows; ++r) {
    TENON_UNROLL
    for (int i = 0; i < NV; ++i) v[r][i] = _mm256_loadu_ps(to + r * to_row + i * lanes);
  }
  for (int e = 0; e < entries; ++e) {
    const __m256 g = _mm256_broadcast_ss(gradient + e);
    const float* const x = from + offset[e];
    TENON_UNROLL
    for (int r = 0; r < Rows; ++r) {
      TENON_UNROLL
      for (int i = 0; i < NV; ++i) v[r][i] = _mm256_fmadd_ps(g, _mm256_loadu_ps(x + r * row + i * lanes), v[r][i]);
    }
  }
  TENON_UNROLL
  for (int r = 0; r < Rows; ++r) {
    TENON_UNROLL
    for (int i = 0; i < NV; ++i) _mm256_storeu_ps(to + r * to_row + i * lanes, v[r][i]);
  }
}

struct ConvKernels {
  static void tile(int rows, const tenon::kernels::detail::TileSum<float>& s, float* to) {
    switch (rows) {
      case 1: return tile_sum<1>(s, to);
      case 2: return tile_sum<2>(s, to);
      case 3: return tile_sum<3>(s, to);
      case 4: return tile_sum<4>(s, to);
      case 5: return tile_sum<5>(s, to);
      default: return tile_sum<6>(s, to);
    }
  }

  template <Act A>
  TENON_AVX2 static void finish(int rows, int cols, const float* tile, const float* bias, float* to, std::ptrdiff_t row) {
    const __m256i m0 = first(cols), m1 = first(cols - 8);
    __m256 bias0 = _mm256_setzero_ps(), bias1 = bias0;
    if (bias) bias0 = _mm256_maskload_ps(bias, m0), bias1 = _mm256_maskload_ps(bias + 8, m1);
    for (int r = 0; r < rows; ++r) {
      const __m256 v0 = Activate<A>::of(_mm256_add_ps(_mm256_loadu_ps(tile + r * gemm_columns), bias0));
      const __m256 v1 = Activate<A>::of(_mm256_add_ps(_mm256_loadu_ps(tile + r * gemm_columns + 8), bias1));
      if (cols == gemm_columns) {
        _mm256_storeu_ps(to + r * row, v0);
        _mm256_storeu_ps(to + r * row + 8, v1);
      } else {
        _mm256_maskstore_ps(to + r * row, m0, v0);
        _mm256_maskstore_ps(to + r * row + 8, m1, v1);
      }
    }
  }

  TENON_AVX2 static void add(int rows, int cols, const float* tile, float* to, std::ptrdiff_t row) {
    const __m256i m0 = first(cols), m1 = first(cols - 8);
    for (int r = 0; r < rows; ++r) {
      float* const at = to + r * row;
      _mm256_maskstore_ps(at, m0, _mm256_add_ps(_mm256_maskload_ps(at, m0), _mm256_loadu_ps(tile + r * gemm_columns)));
      if (cols > 8)
        _mm256_maskstore_ps(at + 8, m1, _mm256_add_ps(_mm256_maskload_ps(at + 8, m1), _mm256_loadu_ps(tile + r * gemm_columns + 8)));
    }
  }

  TENON_AVX2 static void pool_row(const float* image, int ow, int o, int kh, int kw, int pw, float* y, std::uint8_t* argmax) {
    for (int p = 0; p < pw; ++p) {
      int c = 0;
      for (; c + lanes <= o; c += lanes) {
        const float* const from = image + static_cast<std::ptrdiff_t>(p) * kw * o + c;
        __m256 most = _mm256_loadu_ps(from);
        __m256i place = _mm256_setzero_si256();
        for (int i = 0; i < kh; ++i)
          for (int j = 0; j < kw; ++j) {
            const __m256 v = _mm256_loadu_ps(from + (static_cast<std::ptrdiff_t>(i) * ow + j) * o);
            const __m256 better = _mm256_or_ps(_mm256_cmp_ps(v, most, _CMP_GT_OQ), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
            most = _mm256_blendv_ps(most, v, better);
            place = _mm256_blendv_epi8(place, _mm256_set1_epi32(i * kw + j), _mm256_castps_si256(better));
          }
        _mm256_storeu_ps(y + p * o + c, most);
        if (argmax) {
          const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(place), _mm256_extracti128_si256(place, 1));
          _mm_storel_epi64(reinterpret_cast<__m128i*>(argmax + p * o + c), _mm_packus_epi16(words, words));
        }
      }
      if (c < o)  // the last few channels of this pixel
        for (; c < o; ++c) pool_one(image + static_cast<std::ptrdiff_t>(p) * kw * o + c, ow, o, kh, kw, y + p * o + c, argmax ? argmax + p * o + c : nullptr);
    }
  }

  static void gather_runs(const float* from, int rows, std::ptrdiff_t row, int n, const std::int32_t* offset, const float* gradient,
                          int entries, float* to, std::ptrdiff_t to_row) {
    const int vectors = ceil_div(n, lanes);  // what is read and summed beyond n is never looked at
    if (vectors == 1 && rows == 3) return gather_block<3, 1>(from, row, offset, gradient, entries, to, to_row);
    if (vectors == 2 && rows == 3) return gather_block<3, 2>(from, row, offset, gradient, entries, to, to_row);
    if (vectors == 3 && rows == 3) return gather_block<3, 3>(from, row, offset, gradient, entries, to, to_row);
    if (vectors == 4 && rows == 3) return gather_block<3, 4>(from, row, offset, gradient, entries, to, to_row);
    if (vectors == 1 && rows == 5) return gather_block<5, 1>(from, row, offset, gradient, entries, to, to_row);
    for (int r = 0; r < rows; ++r) {
      const float* x = from + r * row;
      float* t = to + r * to_row;
      int left = vectors;
      for (; left >= 12; left -= 12, x += 96, t += 96) gather_block<1, 12>(x, 0, offset, gradient, entries, t, 0);
      if (left >= 8) {
        gather_block<1, 8>(x, 0, offset, gradient, entries, t, 0);
        left -= 8, x += 64, t += 64;
      }
      if (left >= 4) {
        gather_block<1, 4>(x, 0, offset, gradient, entries, t, 0);
        left -= 4, x += 32, t += 32;
      }
      if (left == 3) gather_block<1, 3>(x, 0, offset, gradient, entries, t, 0);
      if (left == 2) gather_block<1, 2>(x, 0, offset, gradient, entries, t, 0);
      if (left == 1) gather_block<1, 1>(x, 0, offset, gradient, entries, t, 0);
    }
  }

  /// `from` is zero beyond n, up to a multiple of 8, so that what lies behind a run is left as it is.
  TENON_AVX2 static void scatter_runs(const float* from, std::ptrdiff_t from_row, int rows, int n, const std::int32_t* offset,
                                      const float* gradient, int entries, float* to, std::ptrdiff_t row) {
    for (int e = 0; e < entries; ++e) {
      const __m256 g = _mm256_broadcast_ss(gradient + e);
      for (int r = 0; r < rows; ++r) {
        const float* const w = from + r * from_row;
        float* const at = to + offset[e] + r * row;
        for (int i = 0; i < n; i += lanes)
          _mm256_storeu_ps(at + i, _mm256_fmadd_ps(g, _mm256_loadu_ps(w + i), _mm256_loadu_ps(at + i)));
      }
    }
  }

  static void transpose(const float* x, int rows, int cols, float* y) { avx2::transpose(x, rows, cols, y); }

 private:
  static void pool_one(const float* from, int ow, int o, int kh, int kw, float* y, std::uint8_t* argmax) {
    float most = from[0];
    int place = 0;
    for (int i = 0; i < kh; ++i)
      for (int j = 0; j < kw; ++j) {
        const float v = from[(static_cast<std::ptrdiff_t>(i) * ow + j) * o];
        if (v > most || v != v) most = v, place = i * kw + j;
      }
    *y = most;
    if (argmax) *argmax = static_cast<std::uint8_t>(place);
  }
};

}  // namespace avx2
#endif

namespace detail {

/// One worker's scratch, cut up.
template <class T>
struct ConvScratch {
  T *frame, *dframe, *image, *image2;
  std::int32_t* offsets;
  T* gradients;

  ConvScratch(void* memory, const ConvDims& d) {
    const ConvRuns r(d);
    const std::size_t framed = r.frame() + conv2d_slack, imaged = static_cast<std::size_t>(d.oh()) * d.ow() * d.o + conv2d_slack;
    frame = static_cast<T*>(memory);
    dframe = frame + framed;
    image = dframe + framed;
    image2 = image + imaged;
    gradients = image2 + imaged;  // (8, pixels)
    offsets = reinterpret_cast<std::int32_t*>(gradients + static_cast<std::size_t>(conv2d_block) * d.oh() * d.ow());
  }
};

/// Copies an image (h, w, c) into its frame of zeros, and zeros behind it.
template <class T>
void into_frame(const ConvDims& d, const T* x, T* frame) {
  const Window& w = d.window;
  const std::size_t row = static_cast<std::size_t>(d.w) * d.c, framed = static_cast<std::size_t>(d.w + 2 * w.pw) * d.c;
  const std::size_t side = static_cast<std::size_t>(w.pw) * d.c;
  T* to = frame;
  std::fill_n(to, w.ph * framed, T(0));
  to += w.ph * framed;
  for (int i = 0; i < d.h; ++i, to += framed) {
    std::fill_n(to, side, T(0));
    std::memcpy(to + side, x + i * row, row * sizeof(T));
    std::fill_n(to + side + row, side, T(0));
  }
  std::fill_n(to, w.ph * framed + conv2d_slack, T(0));
}

/// The parts of n pixels: as few tiles of at most 6 as can be, as even as can be.
constexpr int tile_rows(int n, int done) {
  const int left = n - done;
  return ceil_div(left, ceil_div(left, 6));
}

/// One image forward: frame -> to (oh, ow, o), its first `rows` rows.
template <Act A, class K, class T>
void conv_image(const ConvDims& d, const T* frame, const T* packed, const T* bias, int rows, T* to) {
  const ConvRuns r(d);
  const Window& w = d.window;
  const int depth = r.runs() * r.run, ow = d.ow(), cg = d.c / d.groups;
  T tile[6 * gemm_columns];
  for (int g = 0; g < d.groups; ++g)
    for (int j = 0; j < r.og; j += gemm_columns, packed += static_cast<std::ptrdiff_t>(depth) * gemm_columns) {
      const int cols = r.og - j < gemm_columns ? r.og - j : gemm_columns, out = g * r.og + j;
      for (int oy = 0; oy < rows; ++oy)
        for (int ox = 0, n; ox < ow; ox += n) {
          n = tile_rows(ow, ox);
          const T* const a = frame + (static_cast<std::ptrdiff_t>(oy) * w.sh * r.frame_w + ox * w.sw) * d.c + g * cg;
          K::tile(n,
                  TileSum<T>{r.rows, r.cols, r.run, a, static_cast<std::ptrdiff_t>(w.dh) * r.frame_w * d.c,
                             static_cast<std::ptrdiff_t>(w.dw) * d.c, static_cast<std::ptrdiff_t>(w.sw) * d.c, 1, packed,
                             static_cast<std::ptrdiff_t>(r.cols) * r.run * gemm_columns, static_cast<std::ptrdiff_t>(r.run) * gemm_columns,
                             gemm_columns},
                  tile);
          K::template finish<A>(n, cols, tile, bias ? bias + out : nullptr, to + (static_cast<std::ptrdiff_t>(oy) * ow + ox) * d.o + out, d.o);
        }
    }
}

template <Act A, class K, class T>
void conv2d_forward_image(const ConvDims& d, const Fuse& f, const T* x, const T* packed, const T* bias, T* y, std::uint8_t* argmax,
                          void* memory) {
  const ConvScratch<T> s(memory, d);
  const bool padded = d.window.ph > 0 || d.window.pw > 0;
  if (padded) into_frame(d, x, s.frame);
  const T* const frame = padded ? s.frame : x;
  const int oh = d.oh(), ow = d.ow();
  if (!f.pooled) {
    T* const to = f.channels_first ? s.image : y;
    conv_image<A, K>(d, frame, packed, bias, oh, to);
    if (f.channels_first) K::transpose(to, oh * ow, d.o, y);
    return;
  }
  const int ph = f.pool.out_h(oh), pw = f.pool.out_w(ow);
  conv_image<A, K>(d, frame, packed, bias, ph * f.pool.kh, s.image);
  T* const to = f.channels_first ? s.image2 : y;
  for (int p = 0; p < ph; ++p)
    K::pool_row(s.image + static_cast<std::ptrdiff_t>(p) * f.pool.kh * ow * d.o, ow, d.o, f.pool.kh, f.pool.kw, pw,
                to + static_cast<std::ptrdiff_t>(p) * pw * d.o, argmax ? argmax + static_cast<std::ptrdiff_t>(p) * pw * d.o : nullptr);
  if (f.channels_first) K::transpose(to, ph * pw, d.o, y);
}

/// w (O, cg, kh, kw) <-> (groups, rows, cols, og, padded), element by element: f(index in w, index by runs).
template <class F>
void for_each_weight(const ConvDims& d, int first_output, int last_output, F&& f) {
  const ConvRuns r(d);
  const int cg = d.c / d.groups, kh = d.window.kh, kw = d.window.kw;
  for (int o = first_output; o < last_output; ++o) {
    const int g = o / r.og;
    for (int c = 0; c < cg; ++c)
      for (int ky = 0; ky < kh; ++ky)
        for (int kx = 0; kx < kw; ++kx) {
          const std::size_t run = static_cast<std::size_t>(ky) * r.cols + (r.cols == 1 ? 0 : kx);
          const std::size_t at = r.cols == 1 ? static_cast<std::size_t>(kx) * cg + c : static_cast<std::size_t>(c);
          f(((static_cast<std::size_t>(o) * cg + c) * kh + ky) * kw + kx,
            ((g * static_cast<std::size_t>(r.runs()) + run) * r.og + o % r.og) * r.padded + at);
        }
  }
}

/// What backward of one image needs.
template <class T>
struct ConvBackward {
  const T* x;
  const T* weights;  // by runs
  const T* y;
  const std::uint8_t* argmax;
  const T* dy;
  T* dx;        // or null
  bool dx_add;
  T* dw;        // by runs, added to; or null
  T* db;        // added to; or null
};

/// The gradient before the activation, g = dy f'(y), channels-last, into `to`.
template <Act A, class K, class T>
void conv_gradient(const ConvDims& d, const Fuse& f, int pixels, const ConvBackward<T>& b, T* to, T* other) {
  const std::size_t n = static_cast<std::size_t>(pixels) * d.o;
  T* const g = f.channels_first ? other : to;
  for (std::size_t i = 0; i < n; ++i) g[i] = A.kind == Activation::none ? b.dy[i] : b.dy[i] * Activate<A>::slope(b.y[i], b.y[i]);
  if (f.channels_first) K::transpose(g, d.o, pixels, to);
}

template <Act A, class K, class T>
void conv2d_backward_image(const ConvDims& d, const Fuse& f, const ConvBackward<T>& b, void* memory) {
  const ConvScratch<T> s(memory, d);
  const ConvRuns r(d);
  const Window& w = d.window;
  const int oh = d.oh(), ow = d.ow(), cg = d.c / d.groups;
  const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(w.dh) * r.frame_w * d.c, right = static_cast<std::ptrdiff_t>(w.dw) * d.c;
  if (b.dw) into_frame(d, b.x, s.frame);
  if (b.dx) std::fill_n(s.dframe, r.frame() + conv2d_slack, T(0));

  if (f.pooled && d.groups == 1) {
    const int ph = f.pool.out_h(oh), pw = f.pool.out_w(ow), pixels = ph * pw;
    conv_gradient<A, K>(d, f, pixels, b, s.image, s.image2);
    std::int32_t place[256];  // from a window's corner in the frame
    for (int i = 0; i < f.pool.kh * f.pool.kw; ++i)
      place[i] = (i / f.pool.kw * w.sh * r.frame_w + i % f.pool.kw * w.sw) * d.c;
    // Eight outputs at a time: their weights stay in the first cache while positions are gone through in order.
    for (int o0 = 0; o0 < d.o; o0 += conv2d_block) {
      const int block = std::min(conv2d_block, d.o - o0);
      int count[conv2d_block] = {};
      T sum[conv2d_block] = {};
      for (int py = 0, p = 0; py < ph; ++py)
        for (int px = 0; px < pw; ++px, ++p) {
          const std::int32_t corner = (py * f.pool.kh * w.sh * r.frame_w + px * f.pool.kw * w.sw) * d.c;
          const T* const g = s.image + static_cast<std::size_t>(p) * d.o + o0;
          const std::uint8_t* const at = b.argmax + static_cast<std::size_t>(p) * d.o + o0;
          for (int k = 0; k < block; ++k) {
            s.gradients[k * pixels + count[k]] = g[k];
            s.offsets[k * pixels + count[k]] = corner + place[at[k]];
            count[k] += g[k] != T(0);
            sum[k] += g[k];
          }
        }
      for (int k = 0; k < block; ++k) {
        const int o = o0 + k, entries = count[k];
        const std::int32_t* const offsets = s.offsets + k * pixels;
        const T* const gradients = s.gradients + k * pixels;
        if (b.db) b.db[o] += sum[k];
        for (int j = 0; j < r.cols; ++j) {
          const std::size_t run = static_cast<std::size_t>(j) * r.og + o, row = static_cast<std::size_t>(r.cols) * r.og * r.padded;
          if (b.dw)
            K::gather_runs(s.frame + j * right, r.rows, down, r.run, offsets, gradients, entries, b.dw + run * r.padded,
                           static_cast<std::ptrdiff_t>(row));
          if (b.dx)
            K::scatter_runs(b.weights + run * r.padded, static_cast<std::ptrdiff_t>(row), r.rows, r.run, offsets, gradients, entries,
                            s.dframe + j * right, down);
        }
      }
    }
  } else {
    T* dz = s.image;
    if (f.pooled) {  // spread out again
      const int ph = f.pool.out_h(oh), pw = f.pool.out_w(ow);
      conv_gradient<A, K>(d, f, ph * pw, b, s.image2, s.image);
      std::fill_n(dz, static_cast<std::size_t>(oh) * ow * d.o, T(0));
      for (int p = 0; p < ph * pw; ++p)
        for (int o = 0; o < d.o; ++o) {
          const int place = b.argmax[static_cast<std::size_t>(p) * d.o + o];
          const int iy = p / pw * f.pool.kh + place / f.pool.kw, ix = p % pw * f.pool.kw + place % f.pool.kw;
          dz[(static_cast<std::size_t>(iy) * ow + ix) * d.o + o] = s.image2[static_cast<std::size_t>(p) * d.o + o];
        }
    } else {
      conv_gradient<A, K>(d, f, oh * ow, b, dz, s.image2);
    }
    if (b.db)
      for (int p = 0; p < oh * ow; ++p)
        for (int o = 0; o < d.o; ++o) b.db[o] += dz[static_cast<std::size_t>(p) * d.o + o];
    T tile[6 * gemm_columns];
    for (int g = 0; g < d.groups; ++g)
      for (int i = 0; i < r.rows; ++i)
        for (int j = 0; j < r.cols; ++j) {
          const std::size_t run = ((static_cast<std::size_t>(g) * r.rows + i) * r.cols + j) * r.og * r.padded;
          const std::ptrdiff_t at = i * down + j * right + g * cg;
          for (int n = 0; n < r.run; n += gemm_columns) {
            const int cols = r.run - n < gemm_columns ? r.run - n : gemm_columns;
            if (b.dw)  // (o, run) = sum over pixels of dz (pixel, o) x (pixel, run)
              for (int o = 0, m; o < r.og; o += m) {
                m = tile_rows(r.og, o);
                K::tile(m,
                        TileSum<T>{oh, 1, ow, dz + g * r.og + o, static_cast<std::ptrdiff_t>(ow) * d.o, 0, 1, d.o, s.frame + at + n,
                                   static_cast<std::ptrdiff_t>(w.sh) * r.frame_w * d.c, 0, static_cast<std::ptrdiff_t>(w.sw) * d.c},
                        tile);
                K::add(m, cols, tile, b.dw + run + static_cast<std::size_t>(o) * r.padded + n, r.padded);
              }
            if (b.dx)  // (pixel, run) = sum over o of dz (pixel, o) w (o, run), added where the run lies
              for (int oy = 0; oy < oh; ++oy)
                for (int ox = 0, m; ox < ow; ox += m) {
                  m = tile_rows(ow, ox);
                  K::tile(m,
                          TileSum<T>{1, 1, r.og, dz + (static_cast<std::ptrdiff_t>(oy) * ow + ox) * d.o + g * r.og, 0, 0, d.o, 1,
                                     b.weights + run + n, 0, 0, r.padded},
                          tile);
                  K::add(m, cols, tile, s.dframe + (static_cast<std::ptrdiff_t>(oy) * w.sh * r.frame_w + ox * w.sw) * d.c + at + n,
                         static_cast<std::ptrdiff_t>(w.sw) * d.c);
                }
          }
        }
  }
  if (!b.dx) return;
  const std::size_t row = static_cast<std::size_t>(d.w) * d.c;
  for (int i = 0; i < d.h; ++i) {
    const T* const from = s.dframe + (static_cast<std::size_t>(i + w.ph) * r.frame_w + w.pw) * d.c;
    T* const to = b.dx + i * row;
    if (b.dx_add)
      for (std::size_t k = 0; k < row; ++k) to[k] += from[k];
    else std::memcpy(to, from, row * sizeof(T));
  }
}

}  // namespace detail

/// w (O, C / groups, kh, kw) into panels for forward.
template <ConvDims D, class T, int O, int CG, int KH, int KW>
void conv2d_prepare(Cpu& dev, Conv<D>, In<T, O, CG, KH, KW> w, Span<T> packed) {
  constexpr int og = O / D.groups, panels = ceil_div(og, gemm_columns), depth = CG * KH * KW;
  dev.parallel(D.groups * panels, [&](int task, int) {
    const int g = task / panels, j0 = task % panels * gemm_columns;
    T* to = packed.data + static_cast<std::size_t>(task) * depth * gemm_columns;
    for (int tap = 0; tap < KH * KW; ++tap)
      for (int c = 0; c < CG; ++c)
        for (int j = 0; j < gemm_columns; ++j)
          *to++ = j0 + j < og ? w[(static_cast<std::size_t>(g * og + j0 + j) * CG + c) * KH * KW + tap] : T(0);
  });
}

template <ConvDims D, class T, Fuse F, int... Y>
void conv2d_forward(Cpu& dev, Conv<D>, In<T, Batch, D.h, D.w, D.c> x, std::type_identity_t<Span<const T>> packed, In<T, D.o> b,
                    Epilogue<F>, Out<T, Batch, Y...> y, std::type_identity_t<Out<std::uint8_t, Batch, Y...>> argmax) {
  dev.parallel(x.batch, [&](int n, int worker) {
    std::uint8_t* const places = argmax ? argmax.row(n) : nullptr;
#if TENON_X86
    if constexpr (std::is_same_v<T, float>)
      if (takes_avx2<T>(dev))
        return detail::conv2d_forward_image<F.act, avx2::ConvKernels>(D, F, x.row(n), packed.data, b.data, y.row(n), places, dev.scratch(worker));
#endif
    detail::conv2d_forward_image<F.act, portable::ConvKernels>(D, F, x.row(n), packed.data, b.data, y.row(n), places, dev.scratch(worker));
  });
}

template <ConvDims D, class T, Fuse F, int CG, int KH, int KW, int... Y>
void conv2d_backward(Cpu& dev, Conv<D>, In<T, Batch, D.h, D.w, D.c> x, In<T, D.o, CG, KH, KW> w,
                     std::type_identity_t<In<T, Batch, Y...>> y, std::type_identity_t<In<std::uint8_t, Batch, Y...>> argmax, Epilogue<F>,
                     Out<T, Batch, Y...> dy, Into<T, Batch, D.h, D.w, D.c> dx, Into<T, D.o, CG, KH, KW> dw, Into<T, D.o> db, Span<T> work) {
  constexpr ConvRuns r(D);
  constexpr std::size_t size = r.weights();
  T* const weights = work.data;
  T* const partial = weights + size;
  T* const partial_db = partial + conv2d_chunks * size;
  const int batch = dy.batch, grain = conv2d_grain(batch), chunks = ceil_div(batch, grain);
  if (dx) {
    std::fill_n(weights, size, T(0));
    detail::for_each_weight(D, 0, D.o, [&](std::size_t i, std::size_t by_runs) { weights[by_runs] = w[i]; });
  }
  dev.parallel(chunks, [&](int chunk, int worker) {
    T* const own = dw ? partial + static_cast<std::size_t>(chunk) * size : nullptr;
    T* const own_db = db ? partial_db + static_cast<std::size_t>(chunk) * D.o : nullptr;
    if (own) std::fill_n(own, size, T(0));
    if (own_db) std::fill_n(own_db, D.o, T(0));
    for (int n = chunk * grain; n < std::min(batch, (chunk + 1) * grain); ++n) {
      const detail::ConvBackward<T> image{x.row(n), weights, y ? y.row(n) : nullptr, argmax ? argmax.row(n) : nullptr, dy.row(n),
                                          dx ? dx.row(n) : nullptr, dx.add, own, own_db};
#if TENON_X86
      if constexpr (std::is_same_v<T, float>)
        if (takes_avx2<T>(dev)) {
          detail::conv2d_backward_image<F.act, avx2::ConvKernels>(D, F, image, dev.scratch(worker));
          continue;
        }
#endif
      detail::conv2d_backward_image<F.act, portable::ConvKernels>(D, F, image, dev.scratch(worker));
    }
  });
  if (db)
    for (int o = 0; o < D.o; ++o) {
      T sum = 0;
      for (int k = 0; k < chunks; ++k) sum += partial_db[static_cast<std::size_t>(k) * D.o + o];
      db[o] = db.add ? db[o] + sum : sum;
    }
  if (dw)
    dev.parallel(ceil_div(D.o, 4), [&](int task, int) {
      detail::for_each_weight(D, task * 4, std::min(D.o, task * 4 + 4), [&](std::size_t i, std::size_t by_runs) {
        T sum = 0;
        for (int k = 0; k < chunks; ++k) sum += partial[static_cast<std::size_t>(k) * size + by_runs];
        dw[i] = dw.add ? dw[i] + sum : sum;
      });
    });
}

}  // namespace tenon::kernels
