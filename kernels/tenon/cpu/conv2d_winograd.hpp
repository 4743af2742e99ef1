// Convolution with a 3 x 3 kernel at stride 1 by Winograd's F(2 x 2, 3 x 3): 4 results take 16 multiplications, not 36.
//   weights   U (o / 16, 16, c, 16): the 16 positions of G w G^T, for 16 adjacent outputs
//   a tile    4 x 4 pixels of the frame, d;  V = B^T d B (16, c);  M = V U (16, o);  2 x 2 results A^T M A
// Strategy  12 tiles at a time. V is computed first. Then, for each 16 outputs, the 16 products are computed as register
//           tiles of 6 x 16 with K = c. Their results stay in the L1 cache until they are transformed into pixels. A 2 x 2
//           pool takes the pixels from registers.
// Fits      float, AVX2, groups = 1, no dilation, at least 8 inputs and 16 outputs. Errors are about twice those of the
//           direct sum (the factors of G are 1 and +-1/2). A NaN or an infinity reaches all 4 results of a tile.
// Cost      2 * 4 n o c operations for n pixels (direct: 2 * 9 n o c), and n (8 c + 7 o) additions. The gradient of the
//           weights computes the same products, summed over tiles instead of inputs, in blocks of 48 tiles with V and
//           Z = A dz A^T.
// Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/cpu/conv2d_patches.hpp"
#include "tenon/cpu/max_pool2d.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

constexpr bool conv2d_fits_winograd(const ConvDims& d) {
  const Window& w = d.window;
  return w.kh == 3 && w.kw == 3 && w.sh == 1 && w.sw == 1 && w.dh == 1 && w.dw == 1 && d.groups == 1 && d.c >= 8 &&
         d.o >= 16;
}

inline constexpr int winograd_block = 12;  // tiles at a time

constexpr std::size_t winograd_packed(const ConvDims& d) {
  return static_cast<std::size_t>(16 * panels(d.o) * panel) * static_cast<std::size_t>(d.c);
}

/// A worker's scratch: the frame, plus a row and a pixel that tiles may read beyond it; V and M of a block.
struct WinogradRoom {
  float *frame, *v, *m;

  constexpr WinogradRoom(const ConvDims& d, int rows, PatchScratch& s)
      : frame(s.take<float>(frame_size(d, rows + 1) + static_cast<std::size_t>(d.c))),
        v(s.take<float>(static_cast<std::size_t>(16 * winograd_block * round_up(d.c, 8)))),
        m(s.take<float>(static_cast<std::size_t>(16 * winograd_block * panel))) {}
};

inline constexpr int winograd_gradient_block = 48;

/// A worker's scratch for the gradient of the weights: V and Z of a block.
struct WinogradGradientRoom {
  float *v, *z;

  constexpr WinogradGradientRoom(const ConvDims& d, PatchScratch& s)
      : v(s.take<float>(static_cast<std::size_t>(16 * winograd_gradient_block * round_up(d.c, 8)))),
        z(s.take<float>(static_cast<std::size_t>(16 * winograd_gradient_block * panel))) {}
};

#if TENON_X86
namespace avx2 {

/// U of panel p for inputs [c0, c1). The weight of (output, input, tap) is w[output * by_output + input * by_input + tap].
/// If `turned`, the taps are in reverse order.
TENON_AVX2 inline void winograd_weights(const float* w, std::ptrdiff_t by_output, std::ptrdiff_t by_input, bool turned,
                                        int outputs, int inputs, int p, int c0, int c1, float* packed) {
  float* const to = packed + static_cast<std::ptrdiff_t>(p) * 16 * inputs * panel;
  const int columns = outputs - p * panel < panel ? outputs - p * panel : panel;
  alignas(32) float g[9][panel] = {};
  for (int c = c0; c < c1; ++c) {
    for (int j = 0; j < columns; ++j)
      for (int tap = 0; tap < 9; ++tap)
        g[turned ? 8 - tap : tap][j] = w[(p * panel + j) * by_output + c * by_input + tap];
    for (int half = 0; half < panel; half += lanes) {
      const __m256 h = _mm256_set1_ps(0.5f);
      __m256 rows[4][3];
      TENON_UNROLL
      for (int j = 0; j < 3; ++j) {
        const __m256 a = _mm256_load_ps(g[j] + half), b = _mm256_load_ps(g[3 + j] + half),
                     z = _mm256_load_ps(g[6 + j] + half);
        const __m256 outer = _mm256_mul_ps(h, _mm256_add_ps(a, z)), inner = _mm256_mul_ps(h, b);
        rows[0][j] = a;
        rows[1][j] = _mm256_add_ps(outer, inner);
        rows[2][j] = _mm256_sub_ps(outer, inner);
        rows[3][j] = z;
      }
      TENON_UNROLL
      for (int i = 0; i < 4; ++i) {
        float* const u = to + (static_cast<std::ptrdiff_t>(4 * i) * inputs + c) * panel + half;
        const __m256 outer = _mm256_mul_ps(h, _mm256_add_ps(rows[i][0], rows[i][2])),
                     inner = _mm256_mul_ps(h, rows[i][1]);
        const std::ptrdiff_t next = static_cast<std::ptrdiff_t>(inputs) * panel;
        _mm256_storeu_ps(u, rows[i][0]);
        _mm256_storeu_ps(u + next, _mm256_add_ps(outer, inner));
        _mm256_storeu_ps(u + 2 * next, _mm256_sub_ps(outer, inner));
        _mm256_storeu_ps(u + 3 * next, rows[i][2]);
      }
    }
  }
}

/// V of one tile: 16 positions, `position` apart, of `channels` values.
TENON_AVX2 inline void winograd_input(const float* d, std::ptrdiff_t row, std::ptrdiff_t pixel, int channels, float* v,
                                      std::ptrdiff_t position) {
  for (int c = 0; c < channels; c += lanes, d += lanes, v += lanes) {
    __m256 t[4][4];
    TENON_UNROLL
    for (int j = 0; j < 4; ++j) {
      const __m256 d0 = _mm256_loadu_ps(d + j * pixel), d1 = _mm256_loadu_ps(d + row + j * pixel);
      const __m256 d2 = _mm256_loadu_ps(d + 2 * row + j * pixel), d3 = _mm256_loadu_ps(d + 3 * row + j * pixel);
      t[0][j] = _mm256_sub_ps(d0, d2);
      t[1][j] = _mm256_add_ps(d1, d2);
      t[2][j] = _mm256_sub_ps(d2, d1);
      t[3][j] = _mm256_sub_ps(d1, d3);
    }
    TENON_UNROLL
    for (int i = 0; i < 4; ++i) {
      float* const to = v + 4 * i * position;
      _mm256_storeu_ps(to, _mm256_sub_ps(t[i][0], t[i][2]));
      _mm256_storeu_ps(to + position, _mm256_add_ps(t[i][1], t[i][2]));
      _mm256_storeu_ps(to + 2 * position, _mm256_sub_ps(t[i][2], t[i][1]));
      _mm256_storeu_ps(to + 3 * position, _mm256_sub_ps(t[i][1], t[i][3]));
    }
  }
}

/// The 2 x 2 results of one tile for 8 channels, from M, whose positions are `position` apart.
TENON_AVX2_INLINE void winograd_output(const float* m, std::ptrdiff_t position, __m256 (&y)[2][2]) {
  __m256 s[2][4];
  TENON_UNROLL
  for (int j = 0; j < 4; ++j) {
    const __m256 m1 = _mm256_loadu_ps(m + (4 + j) * position), m2 = _mm256_loadu_ps(m + (8 + j) * position);
    s[0][j] = _mm256_add_ps(_mm256_loadu_ps(m + j * position), _mm256_add_ps(m1, m2));
    s[1][j] = _mm256_sub_ps(_mm256_sub_ps(m1, m2), _mm256_loadu_ps(m + (12 + j) * position));
  }
  TENON_UNROLL
  for (int i = 0; i < 2; ++i) {
    y[i][0] = _mm256_add_ps(s[i][0], _mm256_add_ps(s[i][1], s[i][2]));
    y[i][1] = _mm256_sub_ps(_mm256_sub_ps(s[i][1], s[i][2]), s[i][3]);
  }
}

/// Stores the results of a band: f(start + conv), as an image (rows, ow, o), or its 2 x 2 pool.
template <Activation A>
struct WinogradResult {
  int rows, ow, o;
  const float* start;
  std::ptrdiff_t start_row;
  float* y;
  bool pooled;
  std::uint8_t* argmax;

  template <class Live>
  TENON_AVX2_INLINE void take(__m256 (&v)[2][2], int ty, int tx, int channel, Live live) const {
    TENON_UNROLL
    for (int i = 0; i < 2; ++i) {
      TENON_UNROLL
      for (int j = 0; j < 2; ++j) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(2 * ty + i) * ow + 2 * tx + j;
        if (start && (start_row == 0 || (2 * ty + i < rows && 2 * tx + j < ow)))
          v[i][j] = _mm256_add_ps(load(start + at * start_row + channel, live), v[i][j]);
        v[i][j] = ActivationFunction<A>::of(v[i][j]);
        if (!pooled && 2 * ty + i < rows && 2 * tx + j < ow) store(y + at * o + channel, live, v[i][j]);
      }
    }
    if (!pooled) return;
    const std::ptrdiff_t to = (static_cast<std::ptrdiff_t>(ty) * (ow / 2) + tx) * o + channel;
    Maximum m{v[0][0], _mm256_setzero_si256()};
    m.offer(v[0][0], 0);
    m.offer(v[0][1], 1);
    m.offer(v[1][0], 2);
    m.offer(v[1][1], 3);
    store(y + to, live, m.max);
    if (argmax) store_bytes(argmax + to, live, m.place);
  }
};

/// R tiles of V times one position of U: m (R, 16).
template <int R>
TENON_AVX2_INLINE void winograd_multiply(const float* v, std::ptrdiff_t v_row, const float* u, int channels, float* m) {
  const float* a[R];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) a[r] = v + r * v_row;
  Tile<R> tile;
  tile.start(nullptr, 0, FullVector{}, FullVector{});
  tile.multiply(a, GemmStrides{1}, channels, u, 0, panel, FullVector{}, FullVector{});
  tile.template finish<Activation{}>(m, panel, FullVector{}, FullVector{});
}

/// One band of result.rows rows. Its frame is room.frame.
template <Activation A>
TENON_AVX2 void winograd_forward(const ConvDims& d, const WinogradRoom& room, const float* packed,
                                 const WinogradResult<A>& result) {
  const int down = result.pooled ? result.rows / 2 : (result.rows + 1) / 2,
            across = result.pooled ? result.ow / 2 : (result.ow + 1) / 2;
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(ConvSizes(d).frame_w) * d.c, v_row = round_up(d.c, lanes);
  const std::ptrdiff_t v_position = winograd_block * v_row, m_position = winograd_block * panel;
  const EvenSplit parts(down * across);
  for (int part0 = 0; part0 < parts.parts; part0 += winograd_block / tile_rows) {
    const int part1 =
        part0 + winograd_block / tile_rows < parts.parts ? part0 + winograd_block / tile_rows : parts.parts;
    const int first_tile = parts.begin(part0), tiles = parts.begin(part1) - first_tile;
    for (int t = 0; t < tiles; ++t) {
      const int ty = (first_tile + t) / across, tx = (first_tile + t) % across;
      winograd_input(room.frame + 2 * ty * row + 2 * tx * d.c, row, d.c, d.c, room.v + t * v_row, v_position);
    }
    for (int p = 0; p < panels(d.o); ++p) {
      const float* u = packed + static_cast<std::ptrdiff_t>(p) * 16 * d.c * panel;
      for (int position = 0; position < 16; ++position, u += static_cast<std::ptrdiff_t>(d.c) * panel)
        for (int part = part0, t = 0; part < part1; ++part) {
          const int end = parts.begin(part + 1) - first_tile;
          const float* const v = room.v + position * v_position + t * v_row;
          float* const m = room.m + position * m_position + t * panel;
          switch (end - t) {
            case 1: winograd_multiply<1>(v, v_row, u, d.c, m); break;
            case 2: winograd_multiply<2>(v, v_row, u, d.c, m); break;
            case 3: winograd_multiply<3>(v, v_row, u, d.c, m); break;
            case 4: winograd_multiply<4>(v, v_row, u, d.c, m); break;
            case 5: winograd_multiply<5>(v, v_row, u, d.c, m); break;
            default: winograd_multiply<6>(v, v_row, u, d.c, m);
          }
          t = end;
        }
      for (int t = 0; t < tiles; ++t) {
        const int ty = (first_tile + t) / across, tx = (first_tile + t) % across;
        for (int half = 0; half < panel; half += lanes) {
          const int channel = p * panel + half, left = d.o - channel;
          if (left <= 0) break;
          __m256 y[2][2];
          winograd_output(room.m + t * panel + half, m_position, y);
          if (left >= lanes)
            result.take(y, ty, tx, channel, FullVector{});
          else
            result.take(y, ty, tx, channel, MaskedVector{first(left)});
        }
      }
    }
  }
}

/// Stores Z = A dz A^T of one tile for 8 channels to 16 positions. dz is zero outside the image.
TENON_AVX2_INLINE void winograd_gradient(const __m256 (&z)[2][2], float* to, std::ptrdiff_t position) {
  const __m256 minus = _mm256_set1_ps(-0.0f);
  __m256 t[4][2];
  TENON_UNROLL
  for (int j = 0; j < 2; ++j) {
    t[0][j] = z[0][j];
    t[1][j] = _mm256_add_ps(z[0][j], z[1][j]);
    t[2][j] = _mm256_sub_ps(z[0][j], z[1][j]);
    t[3][j] = _mm256_xor_ps(z[1][j], minus);
  }
  TENON_UNROLL
  for (int i = 0; i < 4; ++i) {
    float* const row = to + 4 * i * position;
    _mm256_storeu_ps(row, t[i][0]);
    _mm256_storeu_ps(row + position, _mm256_add_ps(t[i][0], t[i][1]));
    _mm256_storeu_ps(row + 2 * position, _mm256_sub_ps(t[i][0], t[i][1]));
    _mm256_storeu_ps(row + 3 * position, _mm256_xor_ps(t[i][1], minus));
  }
}

/// Adds V^T Z, summed over `tiles` tiles, to the rows of du of R inputs.
template <int R>
TENON_AVX2_INLINE void winograd_outer(const float* v, std::ptrdiff_t v_row, const float* z, int tiles, float* du) {
  const float* a[R];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) a[r] = v + r;
  Tile<R> tile;
  tile.start(du, panel, FullVector{}, FullVector{});
  tile.multiply(a, GemmStrides{v_row}, tiles, z, 0, panel, FullVector{}, FullVector{});
  tile.template finish<Activation{}>(du, panel, FullVector{}, FullVector{});
}

/// du += V^T Z, summed over a band. du has the layout of U. dz is (rows, ow, o); `frame` holds the rows of x of the band.
TENON_AVX2 inline void winograd_weight_gradient(const ConvDims& d, int rows, const float* frame, const float* dz,
                                                const WinogradGradientRoom& room, float* du) {
  const int ow = d.ow(), across = (ow + 1) / 2, all = (rows + 1) / 2 * across;
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(ConvSizes(d).frame_w) * d.c, v_row = round_up(d.c, lanes);
  const std::ptrdiff_t v_position = winograd_gradient_block * v_row, z_position = winograd_gradient_block * panel;
  const EvenSplit blocks(all, winograd_gradient_block), inputs(d.c);
  for (int b = 0; b < blocks.parts; ++b) {
    const int first_tile = blocks.begin(b), tiles = blocks.begin(b + 1) - first_tile;
    for (int t = 0; t < tiles; ++t) {
      const int ty = (first_tile + t) / across, tx = (first_tile + t) % across;
      winograd_input(frame + 2 * ty * row + 2 * tx * d.c, row, d.c, d.c, room.v + t * v_row, v_position);
    }
    for (int p = 0; p < panels(d.o); ++p) {
      for (int t = 0; t < tiles; ++t) {
        const int y = (first_tile + t) / across * 2, x = (first_tile + t) % across * 2;
        for (int half = 0; half < panel; half += lanes) {
          const int channel = p * panel + half, left = d.o - channel;
          const MaskedVector live{first(left)};  // none, if left <= 0
          __m256 z[2][2];
          TENON_UNROLL
          for (int i = 0; i < 2; ++i) {
            TENON_UNROLL
            for (int j = 0; j < 2; ++j) {
              const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(y + i) * ow + x + j) * d.o + channel;
              z[i][j] = y + i < rows && x + j < ow ? load(dz + at, live) : _mm256_setzero_ps();
            }
          }
          winograd_gradient(z, room.z + t * panel + half, z_position);
        }
      }
      float* to = du + static_cast<std::ptrdiff_t>(p) * 16 * d.c * panel;
      for (int position = 0; position < 16; ++position)
        for (int part = 0, c = 0; part < inputs.parts; ++part) {
          const int end = inputs.begin(part + 1);
          const float* const v = room.v + position * v_position + c;
          const float* const z = room.z + position * z_position;
          switch (end - c) {
            case 1: winograd_outer<1>(v, v_row, z, tiles, to); break;
            case 2: winograd_outer<2>(v, v_row, z, tiles, to); break;
            case 3: winograd_outer<3>(v, v_row, z, tiles, to); break;
            case 4: winograd_outer<4>(v, v_row, z, tiles, to); break;
            case 5: winograd_outer<5>(v, v_row, z, tiles, to); break;
            default: winograd_outer<6>(v, v_row, z, tiles, to);
          }
          to += (end - c) * panel;
          c = end;
        }
    }
  }
}

/// dw (o, c, 3, 3) = G^T du G, or += it, for panel p and inputs [c0, c1).
TENON_AVX2 inline void winograd_weights_back(const ConvDims& d, const float* du, int p, int c0, int c1, float* dw,
                                             bool accumulate) {
  const float* const from = du + static_cast<std::ptrdiff_t>(p) * 16 * d.c * panel;
  const std::ptrdiff_t next = static_cast<std::ptrdiff_t>(d.c) * panel;  // from one position to the next
  const int columns = d.o - p * panel < panel ? d.o - p * panel : panel;
  const __m256 h = _mm256_set1_ps(0.5f);
  alignas(32) float g[9][panel];
  for (int c = c0; c < c1; ++c) {
    for (int half = 0; half < panel; half += lanes) {
      __m256 t[3][4];
      TENON_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float* const u = from + j * next + c * panel + half;
        const __m256 u1 = _mm256_loadu_ps(u + 4 * next), u2 = _mm256_loadu_ps(u + 8 * next);
        const __m256 sum = _mm256_mul_ps(h, _mm256_add_ps(u1, u2));
        t[0][j] = _mm256_add_ps(_mm256_loadu_ps(u), sum);
        t[1][j] = _mm256_mul_ps(h, _mm256_sub_ps(u1, u2));
        t[2][j] = _mm256_add_ps(sum, _mm256_loadu_ps(u + 12 * next));
      }
      TENON_UNROLL
      for (int i = 0; i < 3; ++i) {
        const __m256 sum = _mm256_mul_ps(h, _mm256_add_ps(t[i][1], t[i][2]));
        _mm256_store_ps(g[3 * i] + half, _mm256_add_ps(t[i][0], sum));
        _mm256_store_ps(g[3 * i + 1] + half, _mm256_mul_ps(h, _mm256_sub_ps(t[i][1], t[i][2])));
        _mm256_store_ps(g[3 * i + 2] + half, _mm256_add_ps(sum, t[i][3]));
      }
    }
    for (int j = 0; j < columns; ++j) {
      float* const to = dw + (static_cast<std::ptrdiff_t>(p * panel + j) * d.c + c) * 9;
      for (int tap = 0; tap < 9; ++tap) to[tap] = accumulate ? to[tap] + g[tap][j] : g[tap][j];
    }
  }
}

}  // namespace avx2
#endif

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
