// Kernel, Stride, Padding, Dilation: how a window slides over an image, as types. One number, or (vertical, horizontal).
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/layers/layer.hpp"

namespace tenon {

namespace detail {

struct WindowOption {};

/// What a layer with a window takes; a convolution takes Groups, too.
template <class O>
inline constexpr bool is_window_option = std::is_base_of_v<WindowOption, O>;

}  // namespace detail

template <int H, int W = H>
struct Kernel : detail::WindowOption {};
template <int H, int W = H>
struct Stride : detail::WindowOption {};
template <int H, int W = H>
struct Padding : detail::WindowOption {};
template <int H, int W = H>
struct Dilation : detail::WindowOption {};
template <int G>
struct Groups {};

namespace detail {

struct Sliding {
  Window window{};
  int groups = 1;
  bool strided = false;  // a pooling's stride is its kernel, unless said otherwise
};

template <int H, int W>
constexpr void apply(Sliding& s, const Kernel<H, W>*) {
  s.window.kh = H;
  s.window.kw = W;
}
template <int H, int W>
constexpr void apply(Sliding& s, const Stride<H, W>*) {
  s.window.sh = H;
  s.window.sw = W;
  s.strided = true;
}
template <int H, int W>
constexpr void apply(Sliding& s, const Padding<H, W>*) {
  s.window.ph = H;
  s.window.pw = W;
}
template <int H, int W>
constexpr void apply(Sliding& s, const Dilation<H, W>*) {
  s.window.dh = H;
  s.window.dw = W;
}
template <int G>
constexpr void apply(Sliding& s, const Groups<G>*) {
  s.groups = G;
}
constexpr void apply(Sliding&, const void*) {}  // an option that has nothing to do with windows

template <class O>
inline constexpr bool is_groups = false;
template <int G>
inline constexpr bool is_groups<Groups<G>> = true;

template <class... Options>
constexpr Sliding sliding() {
  Sliding s;
  (apply(s, static_cast<const Options*>(nullptr)), ...);
  return s;
}

template <class... Options>
constexpr Sliding pooling() {
  Sliding s = sliding<Options...>();
  if (!s.strided) {
    s.window.sh = s.window.kh;
    s.window.sw = s.window.kw;
  }
  return s;
}

/// What a window asks of an image, before it is known what is done in it.
constexpr Misfit check(const Window& w, Dims in) {
  if (in.rank != 3) return {Need::three_dimensions_C_H_W, Remedy::remove_the_Flatten_before_this_layer, in};
  if (w.kh < 1 || w.kw < 1) return {Need::positive_extents, Remedy::a_positive_number, dims(w.kh, w.kw)};
  if (w.sh < 1 || w.sw < 1) return {Need::positive_extents, Remedy::a_positive_number, dims(w.sh, w.sw)};
  if (w.dh < 1 || w.dw < 1) return {Need::positive_extents, Remedy::a_positive_number, dims(w.dh, w.dw)};
  if (w.ph < 0 || w.pw < 0) return {Need::positive_extents, Remedy::a_positive_number, dims(w.ph, w.pw)};
  if (!w.fits(in[1], in[2]))
    return {Need::window_no_larger_than_padded_input, Remedy::a_smaller_Kernel_or_more_Padding, in};
  return {};
}

constexpr LayerSpec misfit(const Misfit& m) {
  LayerSpec s;
  s.misfit = m;
  return s;
}

}  // namespace detail
}  // namespace tenon
