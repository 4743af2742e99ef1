// Dims: the extents of one value or parameter. It can be a template argument.
//   Values of one sample have rank 1 (F), 2 (T, F) or 3 (C, H, W); parameters have rank 1 to 4. The batch is not included.
// SPDX-License-Identifier: MIT
#pragma once

namespace tenon {

struct Dims {
  int rank = 0;
  int d[4] = {};

  constexpr int operator[](int i) const { return d[i]; }
  constexpr bool operator==(const Dims&) const = default;

  /// The number of elements; 1 for rank 0.
  constexpr long long count() const {
    long long n = 1;
    for (int i = 0; i < rank; ++i) n *= d[i];
    return n;
  }
};

template <class... I>
constexpr Dims dims(I... extents) {
  static_assert(sizeof...(I) <= 4, "tenon::dims: at most four extents");
  return Dims{static_cast<int>(sizeof...(I)), {static_cast<int>(extents)...}};
}

namespace kernels {

template <class I>
constexpr I ceil_div(I a, I b) {
  return (a + b - 1) / b;
}

template <class I>
constexpr I round_up(I a, I multiple) {
  return ceil_div(a, multiple) * multiple;
}

}  // namespace kernels

/// The order of an image in a model's input: (C, H, W), as in PyTorch, or (H, W, C), as in the network.
enum class InputOrder { planar, channels_last };

}  // namespace tenon
