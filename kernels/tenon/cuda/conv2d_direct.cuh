// The first convolution of a network, whose images have few channels. The sizes are constants.
//   conv2d_direct            x (B, H, W, C), packed w -> y, argmax
//   conv2d_direct_gradient   x, y, argmax, dy -> parts of dw (K, O) and db (O); only if the epilogue pools
// Strategy  forward: a thread owns a pooling window, or four pixels, of 8 channels (4 if the window is larger than 4
//           pixels). The part of the image that it reads is in registers. The result before pooling is never stored.
//           Gradient: a lane owns an output channel and its K sums. It visits only the maxima, one pixel per window. A
//           block has an image in shared memory.
// Fits      one group, C up to 4, O up to 256, K = kh kw C up to 32, patches up to 64 values, pooling windows up to 9
//           pixels; for the gradient, images up to 10240 values with their padding.
// Cost      forward 2 B oh ow O K operations. Gradient 2 B H' W' O K operations, and 9 bytes of dy, y and argmax per 2 K
//           of them.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <utility>

#include "tenon/cuda/conv2d_backward.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels::cuda {

/// The sizes that the direct kernels take from D and its epilogue F.
template <ConvDims D, Epilogue F>
struct DirectOf {
  static constexpr int h = D.h, w = D.w, c = D.c, o = D.o;
  static constexpr int kh = D.window.kh, kw = D.window.kw, sh = D.window.sh, sw = D.window.sw, ph = D.window.ph,
                       pw = D.window.pw, dh = D.window.dh, dw = D.window.dw, depth = kh * kw * c;
  static constexpr int oh = D.oh(), ow = D.ow();
  static constexpr bool pooled = F.pooled, first = F.channels_first;

  // A cell is the set of pixels that a thread computes for each of its channels.
  static constexpr int cell_h = pooled ? F.pool.kh : 1, cell_w = pooled ? F.pool.kw : 4, cell = cell_h * cell_w;
  static constexpr int y_h = pooled ? oh / cell_h : oh, y_w = pooled ? ow / cell_w : ow;
  static constexpr int cells_w = pooled ? y_w : (ow + cell_w - 1) / cell_w, cells = y_h * cells_w;
  static constexpr int patch_h = (cell_h - 1) * sh + (kh - 1) * dh + 1, patch_w = (cell_w - 1) * sw + (kw - 1) * dw + 1;
  static constexpr int channels = cell > 4 ? 4 : 8, shares = (o + channels - 1) / channels;
  static constexpr bool fits =
      D.groups == 1 && c <= 4 && depth <= 32 && cell <= 9 && patch_h * patch_w * c <= 64 && o <= 256;

  static constexpr int frame_h = h + 2 * ph, frame_w = w + 2 * pw, frame = frame_h * frame_w * c;
  static constexpr bool gradient_fits = fits && pooled && !first && frame <= 10240;
};

/// Calls f(0), f(1), ... f(N - 1) with integral constants: only constant indices keep an array in registers.
template <class F, int... K>
__device__ __forceinline__ void for_constants(std::integer_sequence<int, K...>, F&& f) {
  (f(std::integral_constant<int, K>{}), ...);
}
template <int N, class F>
__device__ __forceinline__ void for_constants(F&& f) {
  for_constants(std::make_integer_sequence<int, N>{}, f);
}

template <class T, class Of>
struct DirectShared {
  alignas(16) T w[Of::depth][Of::shares * Of::channels];
  T bias[Of::shares * Of::channels];
};

/// `wide`: y may be written 16 bytes at a time, argmax 4 bytes.
template <class T, class Of, class F>
__global__ void __launch_bounds__(conv_threads)
    conv2d_direct(const T* x, const T* w, const T* bias, int batch, T* y, std::uint8_t* argmax, bool wide) {
  constexpr int channels = Of::channels, columns = Of::shares * channels, size = Wide<T>::size;
  auto& s = shared_memory<DirectShared<T, Of>>();
  for (int e = static_cast<int>(threadIdx.x); e < Of::depth * columns; e += conv_threads) {
    const int k = e / columns, o = e % columns;
    s.w[k][o] = o < Of::o ? w[o * Of::depth + k] : T(0);
  }
  for (int o = static_cast<int>(threadIdx.x); o < columns; o += conv_threads)
    s.bias[o] = bias && o < Of::o ? bias[o] : T(0);
  __syncthreads();
  const std::size_t item = global_thread(), cell = item / Of::shares, image = cell / Of::cells;
  if (image >= static_cast<std::size_t>(batch)) return;
  const int o0 = static_cast<int>(item % Of::shares) * channels, q = static_cast<int>(cell % Of::cells),
            cy = q / Of::cells_w, cx = q % Of::cells_w;

  const int y0 = cy * Of::cell_h * Of::sh - Of::ph, x0 = cx * Of::cell_w * Of::sw - Of::pw;
  x += image * (Of::h * Of::w * Of::c);
  T patch[Of::patch_h * Of::patch_w * Of::c];  // (patch_h, patch_w, c)
  for_constants<Of::patch_h * Of::patch_w * Of::c>([&](auto at) {
    constexpr int e = decltype(at)::value;
    const int row = y0 + e / Of::c / Of::patch_w, column = x0 + e / Of::c % Of::patch_w;
    const bool inside = row >= 0 && row < Of::h && column >= 0 && column < Of::w;
    patch[e] = inside ? x[(row * Of::w + column) * Of::c + e % Of::c] : T(0);
  });

  T sum[Of::cell][channels] = {};
  for_constants<Of::depth>([&](auto at) {
    constexpr int d = decltype(at)::value, c = d % Of::c, i = d / Of::c / Of::kw * Of::dh,
                  j = d / Of::c % Of::kw * Of::dw;
    Wide<T> by[channels / size];
    for (int k = 0; k < channels / size; ++k) by[k] = load_wide(&s.w[d][o0 + k * size]);
    for_constants<Of::cell>([&](auto of) {
      constexpr int u = decltype(of)::value;
      const T v = patch[((u / Of::cell_w * Of::sh + i) * Of::patch_w + u % Of::cell_w * Of::sw + j) * Of::c + c];
      for (int k = 0; k < channels; ++k) sum[u][k] += v * by[k / size].v[k % size];
    });
  });
  for (int u = 0; u < Of::cell; ++u)
    for (int k = 0; k < channels; ++k) sum[u][k] = F::of(sum[u][k] + s.bias[o0 + k]);

  constexpr std::size_t pixels = static_cast<std::size_t>(Of::y_h) * Of::y_w;
  const auto store = [&](int oy, int ox, const T(&v)[channels], const std::uint32_t(&places)[channels]) {
    const std::size_t in_image = static_cast<std::size_t>(oy * Of::y_w + ox), pixel = image * pixels + in_image;
    const std::size_t at = pixel * Of::o + static_cast<std::size_t>(o0);
    if (Of::o % channels == 0 && !Of::first && wide) {
      for (int k = 0; k < channels; k += size) {
        Wide<T> r;
        for (int n = 0; n < size; ++n) r.v[n] = v[k + n];
        store_wide(y + at + k, r);
      }
      if (Of::pooled && argmax)
        for (int k = 0; k < channels; k += 4)
          *reinterpret_cast<std::uint32_t*>(argmax + at + k) =
              places[k] | places[k + 1] << 8 | places[k + 2] << 16 | places[k + 3] << 24;
      return;
    }
    for (int k = 0; k < channels; ++k) {
      if (o0 + k >= Of::o) break;
      y[Of::first ? (image * Of::o + static_cast<std::size_t>(o0 + k)) * pixels + in_image
                  : at + static_cast<std::size_t>(k)] = v[k];
      if (Of::pooled && argmax) argmax[at + static_cast<std::size_t>(k)] = static_cast<std::uint8_t>(places[k]);
    }
  };
  std::uint32_t places[channels] = {};
  if constexpr (Of::pooled) {
    for (int u = 1; u < Of::cell; ++u)
      for (int k = 0; k < channels; ++k) {
        const T v = sum[u][k];
        if (v > sum[0][k] || v != v) sum[0][k] = v, places[k] = static_cast<std::uint32_t>(u);  // a NaN wins
      }
    store(cy, cx, sum[0], places);
  } else {
    for (int u = 0; u < Of::cell; ++u)
      if (cx * Of::cell_w + u < Of::ow) store(cy, cx * Of::cell_w + u, sum[u], places);
  }
}

inline constexpr int direct_threads = 256, direct_ahead = 4;

template <class T, class Of>
struct DirectGradientShared {
  static constexpr int warps = direct_threads / 32, sums = warps * (Of::depth + 1) * 32;
  T values[Of::frame > sums ? Of::frame : sums];
};

/// A block owns `each` images and 32 channels. dw: (parts, K, O); db: (parts, O), or null.
template <class T, class Of, class F>
__global__ void __launch_bounds__(direct_threads)
    conv2d_direct_gradient(const T* x, const T* y, const std::uint8_t* argmax, const T* dy, int batch, int each, T* dw,
                           T* db) {
  constexpr int warps = direct_threads / 32, pixels = Of::y_h * Of::y_w, line = Of::frame_w * Of::c;
  T* const frame = shared_memory<DirectGradientShared<T, Of>>().values;
  const int thread = static_cast<int>(threadIdx.x), own = static_cast<int>(lane()), which = static_cast<int>(warp()),
            o = static_cast<int>(blockIdx.y) * 32 + own, begin = static_cast<int>(blockIdx.x) * each;
  for (int e = thread; e < Of::frame; e += direct_threads) frame[e] = T(0);
  T sum[Of::depth] = {}, all = T(0);
  for (int image = begin; image < begin + each && image < batch; ++image) {
    __syncthreads();  // no thread reads the previous image any more
    const T* const from = x + static_cast<std::size_t>(image) * (Of::h * Of::w * Of::c);
    for (int e = thread; e < Of::h * Of::w * Of::c; e += direct_threads)
      frame[(e / (Of::w * Of::c) + Of::ph) * line + Of::pw * Of::c + e % (Of::w * Of::c)] = from[e];
    __syncthreads();
    if (o >= Of::o) continue;
    const std::size_t at =
        static_cast<std::size_t>(image) * (static_cast<std::size_t>(pixels) * Of::o) + static_cast<std::size_t>(o);
    for (int q0 = which; q0 < pixels; q0 += warps * direct_ahead) {
      T g[direct_ahead];
      int place[direct_ahead];
      for (int n = 0; n < direct_ahead; ++n) {  // all loads are issued before the first is used
        const int q = q0 + n * warps;
        const std::size_t e = at + static_cast<std::size_t>(q) * Of::o;
        g[n] = q < pixels ? dy[e] : T(0);
        if constexpr (!F::identity)
          if (q < pixels) g[n] *= F::derivative(T(0), y[e]);
        place[n] = q < pixels ? argmax[e] : 0;
      }
      for (int n = 0; n < direct_ahead; ++n) {
        const int q = q0 + n * warps < pixels ? q0 + n * warps : 0;
        const int oy = q / Of::y_w * Of::cell_h + place[n] / Of::cell_w,
                  ox = q % Of::y_w * Of::cell_w + place[n] % Of::cell_w;
        const T* const seen = frame + oy * Of::sh * line + ox * Of::sw * Of::c;
        for (int k = 0; k < Of::depth; ++k)
          sum[k] += g[n] * seen[k / Of::c / Of::kw * Of::dh * line + k / Of::c % Of::kw * Of::dw * Of::c + k % Of::c];
        all += g[n];
      }
    }
  }
  __syncthreads();  // the sums overwrite the image
  T* const sums = frame;
  for (int k = 0; k < Of::depth; ++k) sums[(which * (Of::depth + 1) + k) * 32 + own] = sum[k];
  sums[(which * (Of::depth + 1) + Of::depth) * 32 + own] = all;
  __syncthreads();
  if (o >= Of::o) return;
  for (int k = which; k <= Of::depth; k += warps) {
    T total = T(0);
    for (int n = 0; n < warps; ++n) total += sums[(n * (Of::depth + 1) + k) * 32 + own];
    if (k < Of::depth)
      dw[(static_cast<std::size_t>(blockIdx.x) * Of::depth + static_cast<std::size_t>(k)) * Of::o +
         static_cast<std::size_t>(o)] = total;
    else if (db)
      db[static_cast<std::size_t>(blockIdx.x) * Of::o + static_cast<std::size_t>(o)] = total;
  }
}

}  // namespace tenon::kernels::cuda

TENON_IEEE_MATH_END
