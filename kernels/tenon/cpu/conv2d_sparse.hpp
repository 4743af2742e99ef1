// Gradients of a convolution whose epilogue pools. After a max-pool at most one position of each window and channel has a
// gradient, and after a ReLU often none, so the dense image of gradients is mostly zeros. It is never stored.
//   g (pooled pixels, o), argmax (pooled pixels, o)   ->   adds to dw (kh, o, run) and to the patches of dx
// Strategy  lists of the nonzero gradients. dw uses one list per output, with entries (start of the patch in x, g). dx uses
//           one list per position, with entries (output, g). The values under one row of the kernel are contiguous in the
//           frame: a run of kw * c values. Up to 12 vectors of one or more runs are in registers while a list is processed.
// Fits      groups = 1, no horizontal dilation. Zero gradients are never multiplied: a NaN in x or w has no effect there.
//           A gradient that is not finite also affects dx to the right of its patch, up to the end of the last vector.
// Bound     two loads per cycle: every FMA loads one vector of a run. Each gradient takes 2 nonzeros * kh * kw * c
//           operations: a quarter of the dense count after a 2 x 2 pool, and fewer the more of g is zero.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "tenon/cpu/conv2d_patches.hpp"
#include "tenon/cpu/max_pool2d.hpp"
#include "tenon/cpu/transpose.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

constexpr bool conv2d_is_sparse(const ConvDims& d, const Epilogue& f) {
  return f.pooled && d.groups == 1 && d.window.dw == 1;
}

/// What registers hold while a list is processed: `rows` runs of `vectors` vectors each, in the last pass `last_rows` runs.
/// The loops are instantiated for these numbers only.
struct RunTile {
  int rows = 0, last_rows = 0, vectors = 0;
  constexpr bool operator==(const RunTile&) const = default;
};

/// The runs of a convolution, split into tiles.
struct ConvRuns {
  int run, segments;  // values of a run; pieces that a run is split into
  RunTile tile;

  constexpr explicit ConvRuns(const ConvDims& d) : run(d.window.kw * d.c), segments(0) {
    constexpr int registers = 12, lanes = 8;
    const int whole = (run + lanes - 1) / lanes;
    segments = (whole + registers - 1) / registers;
    tile.vectors = (whole + segments - 1) / segments;
    const int max = registers / tile.vectors, times = (d.window.kh + max - 1) / max;
    tile.rows = (d.window.kh + times - 1) / times;
    tile.last_rows = d.window.kh - tile.rows * (times - 1);
  }
  constexpr int padded() const { return segments * tile.vectors * 8; }
  /// Values of the weights in the layout of runs: (kh, o, padded).
  constexpr std::size_t weights(const ConvDims& d) const {
    return static_cast<std::size_t>(d.window.kh) * static_cast<std::size_t>(d.o) * static_cast<std::size_t>(padded());
  }
};

/// The nonzero gradients of one band of pooled pixels, as lists in contiguous memory.
struct SparseLists {
  int* begin;  // list l is [begin[l], begin[l + 1])
  int* at;     // what an entry reads: an offset into the frame, or into the weights
  float* g;
  static constexpr std::size_t slack = 8;  // entries that a vector may write beyond the last
};

#if TENON_X86
namespace avx2 {

/// For each 8-bit mask: the positions of its set bits, in order.
inline constexpr auto set_bits = [] {
  std::array<std::array<std::uint8_t, 8>, 256> t{};
  for (unsigned m = 0; m < 256; ++m)
    for (unsigned bit = 0, n = 0; bit < 8; ++bit)
      if (m >> bit & 1u) t[m][n++] = static_cast<std::uint8_t>(bit);
  return t;
}();

/// Appends the lanes of (at, g) whose bit is set.
TENON_AVX2_INLINE void append(const SparseLists& lists, int& count, __m256i at, __m256 g, unsigned bits) {
  const __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(set_bits[bits].data())));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lists.at + count), _mm256_permutevar8x32_epi32(at, order));
  _mm256_storeu_ps(lists.g + count, _mm256_permutevar8x32_ps(g, order));
  count += __builtin_popcount(bits);
}

TENON_AVX2_INLINE unsigned nonzeros(__m256 g) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(g, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
}

/// Makes one list per output. g and at are (outputs, pixels), rows `row` apart, a multiple of 8. g is padded with zeros.
TENON_AVX2 inline void list_by_output(const float* g, const float* at, int outputs, int row, const SparseLists& lists) {
  int count = 0;
  for (int o = 0; o < outputs; ++o, g += row, at += row) {
    lists.begin[o] = count;
    for (int p = 0; p < row; p += lanes) {
      const __m256 v = _mm256_loadu_ps(g + p);
      append(lists, count, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + p)), v, nonzeros(v));
    }
  }
  lists.begin[outputs] = count;
}

struct AppendAt {
  const SparseLists& lists;
  int& count;
  const float* g;
  const std::uint8_t* place;
  int position, step;  // position in the window; distance between the weights of two outputs
  TENON_AVX2_INLINE void operator()(std::size_t o, auto live) {
    const __m256 v = load(g + o, live);
    const __m256i here = _mm256_cmpeq_epi32(load_bytes(place + o, live), _mm256_set1_epi32(position));
    const unsigned bits = nonzeros(v) & static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(here)));
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    append(lists, count,
           _mm256_mullo_epi32(_mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(o)), lane), _mm256_set1_epi32(step)),
           v, bits);
  }
};

/// Makes one list per pixel and position in the window. g and place are (pixels, outputs).
TENON_AVX2 inline void list_by_position(const float* g, const std::uint8_t* place, int pixels, int outputs,
                                        int positions, int step, const SparseLists& lists) {
  int count = 0;
  for (int p = 0; p < pixels; ++p, g += outputs, place += outputs)
    for (int q = 0; q < positions; ++q) {
      lists.begin[p * positions + q] = count;
      AppendAt append_at{lists, count, g, place, q, step};
      for_each_vector(0, static_cast<std::size_t>(outputs), append_at);
    }
  lists.begin[pixels * positions] = count;
}

/// acc (R, V vectors) += g * rows of `from`, over the entries [begin, end).
template <int R, int V>
TENON_AVX2_INLINE void gather(const SparseLists& lists, int begin, int end, const float* from, std::ptrdiff_t row,
                              __m256 (&acc)[R][V]) {
  // A small tile has two sets of accumulators, so that an addition does not wait for the previous one.
  constexpr int sets = R * V <= 6 ? 2 : 1;
  __m256 more[R][V];
  TENON_UNROLL
  for (int r = 0; r < R; ++r) {
    TENON_UNROLL
    for (int v = 0; v < V; ++v) more[r][v] = _mm256_setzero_ps();
  }
  int e = begin;
  if constexpr (sets == 2)
    for (; e + 1 < end; e += 2) {
      const __m256 g0 = _mm256_broadcast_ss(lists.g + e), g1 = _mm256_broadcast_ss(lists.g + e + 1);
      const float *const p0 = from + lists.at[e], *const p1 = from + lists.at[e + 1];
      TENON_UNROLL
      for (int r = 0; r < R; ++r) {
        TENON_UNROLL
        for (int v = 0; v < V; ++v) {
          acc[r][v] = _mm256_fmadd_ps(g0, _mm256_loadu_ps(p0 + r * row + v * lanes), acc[r][v]);
          more[r][v] = _mm256_fmadd_ps(g1, _mm256_loadu_ps(p1 + r * row + v * lanes), more[r][v]);
        }
      }
    }
  for (; e < end; ++e) {
    const __m256 g = _mm256_broadcast_ss(lists.g + e);
    const float* const p = from + lists.at[e];
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      TENON_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = _mm256_fmadd_ps(g, _mm256_loadu_ps(p + r * row + v * lanes), acc[r][v]);
    }
  }
  if constexpr (sets == 2) {
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      TENON_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = _mm256_add_ps(acc[r][v], more[r][v]);
    }
  }
}

/// Adds the sums of `count` lists over runs of `from` to `to`. The sums of list l are R runs at to + target(l).
template <int R, int V, class Target>
TENON_AVX2 void gather_lists(const SparseLists& lists, int count, const float* from, std::ptrdiff_t from_row, float* to,
                             std::ptrdiff_t to_row, Target target) {
  for (int l = 0; l < count; ++l) {
    const int begin = lists.begin[l], end = lists.begin[l + 1];
    if (begin == end) continue;
    __m256 acc[R][V];
    float* const t = to + target(l);
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      TENON_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = _mm256_loadu_ps(t + r * to_row + v * lanes);
    }
    gather(lists, begin, end, from, from_row, acc);
    TENON_UNROLL
    for (int r = 0; r < R; ++r) {
      TENON_UNROLL
      for (int v = 0; v < V; ++v) _mm256_storeu_ps(t + r * to_row + v * lanes, acc[r][v]);
    }
  }
}

/// All runs of the kernel, `Rows` at a time. Rows of `from` are from_row apart, rows of `to` are to_row apart.
template <int Rows, int Last, int V, class Target>
TENON_AVX2 void gather_kernel(const SparseLists& lists, int count, int kh, int segments, const float* from,
                              std::ptrdiff_t from_row, float* to, std::ptrdiff_t to_row, Target target) {
  for (int i = 0; i < kh; i += Rows)
    for (int s = 0; s < segments; ++s) {
      const float* const a = from + i * from_row + s * V * lanes;
      float* const b = to + i * to_row + s * V * lanes;
      if (Rows == Last || i + Rows <= kh)
        gather_lists<Rows, V>(lists, count, a, from_row, b, to_row, target);
      else
        gather_lists<Last, V>(lists, count, a, from_row, b, to_row, target);
    }
}

/// to (pixels, outputs) = the start of each maximum's patch: base[pixel] + shift[place]. shift holds at least 8 values.
/// The results are ints stored in floats, because transpose() takes floats.
TENON_AVX2 inline void patch_offsets(const std::uint8_t* place, const int* base, const int* shift, int pixels,
                                     int outputs, int positions, float* to) {
  const __m256i few = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(shift));
  for (int p = 0; p < pixels; ++p, place += outputs, to += outputs) {
    int o = 0;
    for (; positions <= lanes && o + lanes <= outputs; o += lanes) {
      const __m256i at = _mm256_permutevar8x32_epi32(few, load_bytes(place + o, FullVector{}));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + o), _mm256_add_epi32(at, _mm256_set1_epi32(base[p])));
    }
    for (; o < outputs; ++o) to[o] = std::bit_cast<float>(base[p] + shift[place[o]]);
  }
}

}  // namespace avx2
#endif

/// A worker's scratch for a band of `pixels` pooled pixels.
struct SparseRoom {
  int *base, *shift, *target;  // start of a pixel's window in the frame; shift of a position; their sum
  float *at, *at_turned;       // ints stored in floats: (pixels, o) and (o, pixels rounded up to a multiple of 8)
  float* turned;               // g, (o, pixels rounded up to a multiple of 8)
  SparseLists lists;

  constexpr SparseRoom(const ConvDims& d, const Epilogue& f, int pixels, PatchScratch& s)
      : base(s.take<int>(static_cast<std::size_t>(pixels))),
        shift(s.take<int>(static_cast<std::size_t>(f.pool.kh * f.pool.kw) + 8)),
        target(s.take<int>(static_cast<std::size_t>(pixels * f.pool.kh * f.pool.kw))),
        at(s.take<float>(static_cast<std::size_t>(pixels * d.o))),
        at_turned(s.take<float>(static_cast<std::size_t>(round_up(pixels, 8) * d.o))),
        turned(s.take<float>(static_cast<std::size_t>(round_up(pixels, 8) * d.o))),
        lists{s.take<int>(static_cast<std::size_t>(std::max(d.o, pixels * f.pool.kh * f.pool.kw) + 1)),
              s.take<int>(static_cast<std::size_t>(pixels * d.o) + SparseLists::slack),
              s.take<float>(static_cast<std::size_t>(pixels * d.o) + SparseLists::slack)} {}
};

#if TENON_X86
namespace avx2 {

/// One band of rows x columns pooled pixels. g and the places of the maxima are (pixels, o). Adds to dw, in the layout of
/// runs, and to dframe. Each may be null.
template <RunTile Tile>
TENON_AVX2 void sparse_gradients(const ConvDims& d, const Epilogue& f, int rows, int columns, const float* g,
                                 const std::uint8_t* place, const float* frame, const float* weights, float* dw,
                                 float* dframe, const SparseRoom& room) {
  const Window& w = d.window;
  const int pixels = rows * columns, positions = f.pool.kh * f.pool.kw, turned_row = round_up(pixels, lanes);
  const int row = ConvSizes(d).frame_w * d.c, down = w.dh * row;
  const ConvRuns runs(d);
  const int padded = runs.padded();
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x)
      room.base[y * columns + x] = y * f.pool.kh * w.sh * row + x * f.pool.kw * w.sw * d.c;
  for (int q = 0; q < positions; ++q) room.shift[q] = q / f.pool.kw * w.sh * row + q % f.pool.kw * w.sw * d.c;
  if (dw) {
    patch_offsets(place, room.base, room.shift, pixels, d.o, positions, room.at);
    for (int o = 0; o < d.o && pixels < turned_row; ++o)
      for (int p = pixels; p < turned_row; ++p) room.turned[o * turned_row + p] = 0;
    transpose(g, pixels, d.o, d.o, room.turned, turned_row, false);
    transpose(room.at, pixels, d.o, d.o, room.at_turned, turned_row, false);
    list_by_output(room.turned, room.at_turned, d.o, turned_row, room.lists);
    gather_kernel<Tile.rows, Tile.last_rows, Tile.vectors>(room.lists, d.o, w.kh, runs.segments, frame, down, dw,
                                                           d.o * padded, GemmStrides{padded});
  }
  if (dframe) {
    for (int p = 0; p < pixels; ++p)
      for (int q = 0; q < positions; ++q) room.target[p * positions + q] = room.base[p] + room.shift[q];
    list_by_position(g, place, pixels, d.o, positions, padded, room.lists);
    gather_kernel<Tile.rows, Tile.last_rows, Tile.vectors>(room.lists, pixels * positions, w.kh, runs.segments, weights,
                                                           d.o * padded, dframe, down, Table{room.target});
  }
}

}  // namespace avx2
#endif

/// Converts outputs [begin, end) of w (o, c, kh, kw) to the layout of runs, (kh, o, padded). The padding of a run is zero.
inline void weights_by_runs(const ConvDims& d, const ConvRuns& runs, const float* w, int begin, int end, float* to) {
  const int kh = d.window.kh, kw = d.window.kw, padded = runs.padded();
  for (int i = 0; i < kh; ++i)
    for (int o = begin; o < end; ++o) {
      float* const out = to + (static_cast<std::ptrdiff_t>(i) * d.o + o) * padded;
      const float* const in = w + (static_cast<std::ptrdiff_t>(o) * d.c * kh + i) * kw;
      for (int j = 0; j < kw; ++j)
        for (int c = 0; c < d.c; ++c) out[j * d.c + c] = in[c * kh * kw + j];
      for (int k = runs.run; k < padded; ++k) out[k] = 0;
    }
}

/// The inverse: dw (o, c, kh, kw) = by_runs, or += it.
inline void weights_from_runs(const ConvDims& d, const ConvRuns& runs, const float* by_runs, int begin, int end,
                              float* dw, bool accumulate) {
  const int kh = d.window.kh, kw = d.window.kw, padded = runs.padded();
  for (int o = begin; o < end; ++o)
    for (int i = 0; i < kh; ++i) {
      const float* const in = by_runs + (static_cast<std::ptrdiff_t>(i) * d.o + o) * padded;
      float* const out = dw + (static_cast<std::ptrdiff_t>(o) * d.c * kh + i) * kw;
      for (int c = 0; c < d.c; ++c)
        for (int j = 0; j < kw; ++j) {
          float& t = out[c * kh * kw + j];
          t = accumulate ? t + in[j * d.c + c] : in[j * d.c + c];
        }
    }
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
