// Gathers a batch from a data set in device memory.
//   gather_batch   images (N, H, W, C) or planar (N, C, H, W), bytes   ->   x (B, ...), channels-last, or planar on request
//                  labels (N), bytes                                   ->   labels (B), int32; zeros if there are none
//                  order, augmentation, normalization and layout in one pass over the bytes, as cpu/gather.hpp, with the
//                  bits of its vector code
//   gather_rows    x (N, I), targets (N, K)                            ->   x (B, I), targets (B, K)
// Row b is sample order(position) with position = step.first_sample + b. The kernel reads the source and the step, so a
// recorded graph works for every data set of the same kind.
// Strategy  images: a block owns a sample. One of its threads computes its index, another its augmentation. Then each
//           thread computes four values at a time, stored 16 bytes at a time, and loaded as one word if the pixels stay
//           in order.
//           rows: a warp owns a row, or a block does if the row is long. Each thread computes the index itself.
// Fits      any extents, 1 to 4 channels.
// Cost      5 bytes per value of an image, 2 sizeof(T) per value of a row. Six calls of Philox in sequence (128 for a
//           small set) before the first byte is known.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tenon/common/gather.hpp"
#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

template <class T>
struct GatherTarget {
  T* x;
  std::int32_t* y;  // labels; null: not wanted
  bool planar;
  bool wide;  // the address and length of each row are multiples of 16 bytes
};

struct GatherShared {
  std::uint64_t index;
  Augmentation::Drawn drawn;
};

template <class T>
__global__ void gather_sample(const ImageSource<T>* source_address, const StepState* step, Pass pass,
                              GatherTarget<T> to) {
  GatherShared& shared = shared_memory<GatherShared>();
  const ImageSource<T>& source = *source_address;
  const std::size_t b = blockIdx.x;
  if (threadIdx.x == 0) {
    shared.index = source.order(*step, pass)(step->first_sample + b);
    if (to.y) to.y[b] = source.labels ? source.labels[shared.index] : 0;
  }
  if (threadIdx.x == blockDim.x - 1) shared.drawn = source.augmentation(*step, pass).draw(step->first_sample + b);
  const Images from = source.images;
  __syncthreads();
  const int h = from.h, w = from.w, channels = from.c, sample = from.sample();
  const std::uint8_t* const image = from.pixels + shared.index * static_cast<std::uint64_t>(sample);
  T* const row = to.x + b * static_cast<std::size_t>(sample);
  const Augmentation::Drawn drawn = shared.drawn;
  // Where the pixels of a channel are consecutive, the CPU's vector code rounds pixel * scale + offset once.
  const bool once = sizeof(T) == sizeof(float) && (channels == 1 || from.planar);
  const bool words = sample % 4 == 0 && reinterpret_cast<std::uintptr_t>(from.pixels) % 4 == 0;
  const bool in_order =
      drawn.down == 0 && drawn.right == 0 && !drawn.mirrored && (channels == 1 || from.planar == to.planar);

  for (int at = 4 * static_cast<int>(threadIdx.x); at < sample; at += 4 * static_cast<int>(blockDim.x)) {
    const int n = sample - at < 4 ? sample - at : 4;
    int i, j, k;  // row, column and channel of the first value
    if (to.planar) {
      const int line = at / w;
      j = at - line * w;
      k = line / h;
      i = line - k * h;
    } else {
      const int pixel = at / channels;
      k = at - pixel * channels;
      i = pixel / w;
      j = pixel - i * w;
    }
    std::uint8_t word[4] = {};
    if (in_order && words) {
      const unsigned bits = *reinterpret_cast<const unsigned*>(image + at);
      memcpy(word, &bits, 4);
    }
    T v[4] = {};
    for (int e = 0; e < 4; ++e) {
      if (e >= n) break;
      // y[i][j] = x[i - down][j'], j' = (mirrored ? w - 1 - j : j) - right: first mirrored back, then shifted.
      std::uint8_t pixel = word[e];
      if (in_order) {
        if (!words) pixel = image[at + e];
      } else {
        const int si = i - drawn.down, sj = (drawn.mirrored ? w - 1 - j : j) - drawn.right;
        if (si >= 0 && si < h && sj >= 0 && sj < w)
          pixel = image[from.planar ? (k * h + si) * w + sj : (si * w + sj) * channels + k];
      }
      const T value = static_cast<T>(pixel), scale = source.normalisation.scale[k],
              offset = source.normalisation.offset[k];
      v[e] = once ? fma_of(value, scale, offset) : mul_add(value, scale, offset);
      if (to.planar) {
        if (++j == w) {
          j = 0;
          if (++i == h) i = 0, ++k;
        }
      } else if (++k == channels) {
        k = 0;
        if (++j == w) j = 0, ++i;
      }
    }
    if (to.wide) {
      constexpr int size = Wide<T>::size;
      for (int e = 0; e < 4; e += size) {
        Wide<T> part;
        for (int p = 0; p < size; ++p) part.v[p] = v[e + p];
        store_wide(row + at + e, part);
      }
    } else {
      for (int e = 0; e < 4; ++e)
        if (e < n) row[at + e] = v[e];
    }
  }
}

// `lanes` threads per row. lanes divides the block size.
template <class T, class Target>
__global__ void gather_row(const RowSource<T, Target>* source, const StepState* step, Pass pass, unsigned batch,
                           unsigned lanes, unsigned values, unsigned width, T* x, Target* targets) {
  const unsigned b = blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes, first = threadIdx.x % lanes;
  if (b >= batch) return;
  const std::uint64_t index = source->order(*step, pass)(step->first_sample + b);
  const T* const from = source->x + index * values;
  T* const row = x + std::size_t{b} * values;
  for (unsigned i = first; i < values; i += lanes) row[i] = from[i];
  const Target* const t = source->targets;
  for (unsigned i = first; i < width; i += lanes)
    targets[std::size_t{b} * width + i] = t ? t[index * width + i] : Target{};
}

inline constexpr unsigned gather_threads = 256;

}  // namespace cuda

/// Gathers x.batch samples of the epoch from step->first_sample on. x holds (H, W, C), or (C, H, W) if planar. `labels` may
/// be null. The images must fit x (Images::require_input).
template <class T, int... D>
void gather_batch(Cuda& dev, std::type_identity_t<CudaPointer<const ImageSource<T>>> source,
                  CudaPointer<const StepState> step, Pass pass, Out<T, Batch, D...> x, std::int32_t* labels,
                  bool planar = false) {
  constexpr int sample = Out<T, Batch, D...>::sample;
  constexpr unsigned fours = (sample + 3) / 4, whole_warps = (fours + 31) / 32 * 32;
  constexpr unsigned threads = whole_warps < cuda::gather_threads ? whole_warps : cuda::gather_threads;
  cuda::launch(dev, "gather_images", cuda::gather_sample<T>, {static_cast<unsigned>(x.batch)}, {threads},
               sizeof(cuda::GatherShared), source.get(), step.get(), pass,
               cuda::GatherTarget<T>{x.data, labels, planar, sample % 4 == 0 && cuda::is_wide_aligned(x.data)});
}

/// Gathers x.batch rows of the epoch from step->first_sample on. Rows of the source have as many values as those of x, and
/// `targets_per_sample` targets.
template <class T, class Target, int... D>
void gather_rows(Cuda& dev, std::type_identity_t<CudaPointer<const RowSource<T, Target>>> source,
                 CudaPointer<const StepState> step, Pass pass, Out<T, Batch, D...> x, Target* targets,
                 int targets_per_sample) {
  constexpr unsigned values = static_cast<unsigned>(Out<T, Batch, D...>::sample), threads = cuda::gather_threads;
  constexpr unsigned lanes = values <= 1024 ? cuda::warp_size : threads;
  cuda::launch(dev, "gather_rows", cuda::gather_row<T, Target>,
               {cuda::blocks_for(static_cast<std::size_t>(x.batch), threads / lanes)}, {threads}, 0, source.get(),
               step.get(), pass, static_cast<unsigned>(x.batch), lanes, values,
               static_cast<unsigned>(targets_per_sample), x.data, targets);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
