// Tensor: owned memory whose extents are part of its type. Kernels, models and trainers take a view of it.
//   Tensor<float, Batch, 1, 28, 28> x(32);    32 samples of zeros
//   x(b, 0, i, j)   x.row(b)                  one element, one sample
//   trainer.step(x.view(), labels)            anything that takes In or Out
// assert() checks indices, so release builds do not check them.
// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <cstddef>
#include <string>

#include "tenon/core/buffer.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/view.hpp"

namespace tenon {

namespace detail {

/// Extents as a type. Batch, the only extent known at run time only, comes first.
template <int... D>
struct Shape {
  static constexpr int rank = sizeof...(D);
  static constexpr int extents[rank ? rank : 1] = {D...};
  static constexpr bool batched = View<int, D...>::batched;
  static constexpr int sample = View<int, D...>::sample;  // elements of one row
};

}  // namespace detail

template <class T, int... D>
class Tensor {
 public:
  using value_type = T;
  using shape = detail::Shape<D...>;

  Tensor() requires(!shape::batched) : Tensor(1, 0) {}
  /// `batch` samples of zeros.
  explicit Tensor(int batch) requires(shape::batched) : Tensor(batch, 0) {}

  int batch() const { return batch_; }
  std::size_t size() const { return data_.size(); }
  T* data() { return data_.data(); }
  const T* data() const { return data_.data(); }
  T* begin() { return data_.begin(); }
  T* end() { return data_.end(); }
  const T* begin() const { return data_.begin(); }
  const T* end() const { return data_.end(); }

  View<T, D...> view() { return View<T, D...>(data(), batch_); }
  View<const T, D...> view() const { return View<const T, D...>(data(), batch_); }
  T* row(int b) { return view().row(b); }
  const T* row(int b) const { return view().row(b); }

  /// The element at (b, i, j, ...). There are as many indices as extents.
  template <class... I>
  T& operator()(I... at) {
    return data()[place(at...)];
  }
  template <class... I>
  const T& operator()(I... at) const {
    return data()[place(at...)];
  }

 private:
  Tensor(int batch, int) : batch_(checked(batch)), data_(view().size()) {}

  static int checked(int batch) {
    if (batch < 0) throw Error("Tensor", "expected a batch of 0 or more samples, got " + std::to_string(batch));
    return batch;
  }

  template <class... I>
  std::size_t place(I... at) const {
    static_assert(sizeof...(I) == sizeof...(D), "tenon::Tensor: as many indices as extents, the batch among them");
    const int index[] = {static_cast<int>(at)...};
    std::size_t n = 0;
    for (int k = 0; k < shape::rank; ++k) {
      const int extent = shape::extents[k] == Batch ? batch_ : shape::extents[k];
      assert(index[k] >= 0 && index[k] < extent);
      n = n * static_cast<std::size_t>(extent) + static_cast<std::size_t>(index[k]);
    }
    return n;
  }

  int batch_;
  Buffer<T> data_;
};

}  // namespace tenon
