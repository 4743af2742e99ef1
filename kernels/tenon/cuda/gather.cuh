// Gathering a batch from a data set in the device's memory: order, augmentation, normalisation, layout, in one visit to
// the bytes; as cpu/gather.hpp, to the bit where its vectors are AVX2.
//   images (N, H, W, C) or planar (N, C, H, W), bytes   ->   x (B, ...), channels-last, or planar if asked
//   labels (N), bytes                                   ->   y (B), int32
//   row b is sample order(first + b), changed as augmentation.draw(first + b) says; each value pixel * scale + offset
// In a recorded step the first position and the epoch of the keys are the cursor's; gather_recorded reads all else, too,
// from memory, so that what was recorded holds for every data set.
// Strategy  a block owns a sample. One of its threads finds out which, another how it is changed; then each makes four
//           values at a time, stored 16 bytes at once, and loaded as one word where the pixels stay in order.
// Fits      any extents, 1 to 4 channels.
// Cost      5 bytes a value. Six calls of Philox, one after the other, before the first byte is known.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tenon/core/arguments.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/rounding.cuh"

namespace tenon::kernels {

namespace cuda {

/// Which samples, in which order.
struct GatherOrder {
  Order order;
  Augmentation augmentation;
  std::uint64_t first;
  const CudaCursor* cursor;  // of a recorded step, or null

  __device__ __forceinline__ std::uint64_t position(std::uint64_t row) const {
    return (cursor ? cursor->first_sample : first) + row;
  }
  __device__ __forceinline__ std::uint64_t index(std::uint64_t row) const {
    Order now = order;
    if (cursor) now.permutation.key.step = cursor->epoch;
    return now(position(row));
  }
  __device__ __forceinline__ Augmentation::Drawn drawn(std::uint64_t row) const {
    Augmentation now = augmentation;
    if (cursor) now.key.step = cursor->epoch;
    return now.draw(position(row));
  }
};

template <class T>
struct GatherTarget {
  T* x;
  std::int32_t* y;  // or null
  bool planar;
  bool wide;  // rows begin at multiples of 16 bytes, and are as long
};

struct GatherShared {
  std::uint64_t index;
  Augmentation::Drawn drawn;
};

// The source is `given`, or where it is not null what lies at `recorded`.
template <class T>
__global__ void gather_sample(const __grid_constant__ ImageSource<T> given, const ImageSource<T>* recorded,
                              std::uint64_t first, const CudaCursor* cursor, GatherTarget<T> to) {
  GatherShared& shared = shared_memory<GatherShared>();
  const ImageSource<T>& source = recorded ? *recorded : given;
  const std::size_t b = blockIdx.x;
  if (threadIdx.x == 0 || threadIdx.x == blockDim.x - 1) {
    const GatherOrder which{source.order, source.augmentation, first, cursor};
    if (threadIdx.x == 0) {
      shared.index = which.index(b);
      if (to.y) to.y[b] = source.labels ? source.labels[shared.index] : 0;
    }
    if (threadIdx.x == blockDim.x - 1) shared.drawn = which.drawn(b);
  }
  const Images from = source.images;
  __syncthreads();
  const int h = from.h, w = from.w, channels = from.c, sample = from.sample();
  const std::uint8_t* const image = from.pixels + shared.index * static_cast<std::uint64_t>(sample);
  T* const row = to.x + b * static_cast<std::size_t>(sample);
  const Augmentation::Drawn drawn = shared.drawn;
  // As the CPU's vectors do it, which take consecutive floats of consecutive pixels: pixel * scale + offset is rounded once.
  const bool once = sizeof(T) == sizeof(float) && (channels == 1 || (from.planar && to.planar));
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

inline constexpr unsigned gather_threads = 256;

template <class T, int... D>
void gather(const Cuda& dev, const ImageSource<T>& given, const ImageSource<T>* recorded, std::uint64_t first,
            Out<T, D...> x, std::int32_t* y, bool planar) {
  constexpr int sample = Out<T, D...>::sample;
  constexpr unsigned fours = (sample + 3) / 4, whole_warps = (fours + 31) / 32 * 32;
  constexpr unsigned threads = whole_warps < gather_threads ? whole_warps : gather_threads;
  launch(dev, "gather_images", gather_sample<T>, {static_cast<unsigned>(x.batch)}, {threads}, sizeof(GatherShared),
         given, recorded, first, dev.state().cursor,
         GatherTarget<T>{x.data, y, planar, sample % 4 == 0 && is_wide_aligned(x.data)});
}

template <unsigned Threads>
__global__ void gather_label(const std::uint8_t* labels, GatherOrder which, std::size_t n, std::int32_t* y) {
  const std::size_t b = global_thread();
  if (b < n) y[b] = labels[which.index(b)];
}

}  // namespace cuda

/// gather_images and, unless y is null, gather_labels in one launch.
template <class T, int... D>
void gather_batch(Cuda& dev, const Images& from, const std::uint8_t* labels, const Order& order, std::uint64_t first,
                  const Augmentation& augmentation, const std::type_identity_t<Normalisation<T>>& normalisation,
                  Out<T, D...> x, std::int32_t* y, bool planar = false) {
  from.require_sample(Out<T, D...>::sample, Normalisation<T>::most_channels);
  cuda::gather<T>(dev, {from, labels, order, augmentation, normalisation}, nullptr, first, x, y, planar);
}

/// gather_batch in a recorded step, of what `source` in the device's memory says when it is replayed; x is planar. Who
/// writes it calls source.images.require_sample().
template <class T, int... D>
void gather_recorded(Cuda& dev, const ImageSource<T>* source, Out<T, D...> x, std::int32_t* y) {
  cuda::gather<T>(dev, {}, source, 0, x, y, true);
}

/// x.batch images from position `first` of the epoch on. x holds (H, W, C), or (C, H, W) if planar.
template <class T, int... D>
void gather_images(Cuda& dev, const Images& from, const Order& order, std::uint64_t first,
                   const Augmentation& augmentation, const std::type_identity_t<Normalisation<T>>& normalisation,
                   Out<T, D...> x, bool planar = false) {
  gather_batch<T>(dev, from, nullptr, order, first, augmentation, normalisation, x, nullptr, planar);
}

/// y[b] = labels[order(first + b)]
inline void gather_labels(Cuda& dev, const std::uint8_t* labels, const Order& order, std::uint64_t first,
                          Span<std::int32_t> y) {
  constexpr unsigned threads = cuda::gather_threads;
  cuda::launch(dev, "gather_labels", cuda::gather_label<threads>, {cuda::blocks_for(y.size, threads)}, {threads}, 0,
               labels, cuda::GatherOrder{order, {}, first, dev.state().cursor}, y.size, y.data);
}

}  // namespace tenon::kernels
