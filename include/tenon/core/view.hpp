// Views: a pointer whose extents are part of the type. The only run-time extent is the batch, which comes first.
//   In<T, Batch, H, W, C>    read only
//   Out<T, Batch, O>         the callee writes all of it
//   Into<T, O, I>            a gradient: null if it is not needed; `accumulate` says whether it is overwritten or added to
// Rows are dense and in the order of the extents. Inside a network images are channels-last: (H, W, C).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tenon/core/config.hpp"

namespace tenon {

/// Stands for the run-time batch among a view's extents. It may only be the first extent.
inline constexpr int Batch = -1;

template <class T, int... D>
struct View {
  using value_type = T;
  static constexpr int rank = sizeof...(D);
  static constexpr int extents[rank ? rank : 1] = {D...};
  static constexpr bool batched = rank > 0 && extents[0] == Batch;
  static constexpr int sample = (1 * ... * (D == Batch ? 1 : D));  // elements of one row

  T* data = nullptr;
  int batch = 1;  // rows, if batched

  constexpr View() = default;
  TENON_HD constexpr explicit View(T* p, int rows = 1) : data(p), batch(rows) {}
  template <class U>
    requires(!__is_same(U, T) && __is_same(const U, T))
  TENON_HD constexpr View(View<U, D...> v) : data(v.data), batch(v.batch) {}  // a writable view can be read too

  TENON_HD constexpr explicit operator bool() const { return data != nullptr; }
  TENON_HD constexpr std::size_t size() const { return static_cast<std::size_t>(batch) * sample; }
  TENON_HD constexpr T& operator[](std::size_t i) const { return data[i]; }
  TENON_HD constexpr T* row(int b) const { return data + static_cast<std::size_t>(b) * sample; }
};

template <class T, int... D>
using In = View<const T, D...>;

template <class T, int... D>
using Out = View<T, D...>;

template <class T, int... D>
struct Into : View<T, D...> {
  bool accumulate = false;  // true: the values are added to the existing ones

  constexpr Into() = default;
  TENON_HD constexpr explicit Into(T* p, int rows = 1, bool add = false) : View<T, D...>(p, rows), accumulate(add) {}
};

/// Memory whose length is known only at run time: workspaces and flat buffers.
template <class T>
struct Span {
  T* data = nullptr;
  std::size_t size = 0;

  TENON_HD constexpr T& operator[](std::size_t i) const { return data[i]; }
  TENON_HD constexpr T* begin() const { return data; }
  TENON_HD constexpr T* end() const { return data + size; }
};

}  // namespace tenon
