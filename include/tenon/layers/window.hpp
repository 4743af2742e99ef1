// The window of a layer, computed from its options, and the checks that all layers with a window share.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "tenon/core/config.hpp"
#include "tenon/layers/options.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {
namespace detail {

struct Sliding {
  kernels::Window window{};
  int groups = 1;
  bool strided = false;  // Stride is given; otherwise the stride of a pooling is its kernel
};

template <int H, int W>
constexpr void apply(Sliding& s, layer_options::Kernel<H, W>) {
  s.window.kh = H;
  s.window.kw = W;
}
template <int H, int W>
constexpr void apply(Sliding& s, layer_options::Stride<H, W>) {
  s.window.sh = H;
  s.window.sw = W;
  s.strided = true;
}
template <int H, int W>
constexpr void apply(Sliding& s, layer_options::Padding<H, W>) {
  s.window.ph = H;
  s.window.pw = W;
}
template <int H, int W>
constexpr void apply(Sliding& s, layer_options::Dilation<H, W>) {
  s.window.dh = H;
  s.window.dw = W;
}
template <int G>
constexpr void apply(Sliding& s, layer_options::Groups<G>) {
  s.groups = G;
}
template <class Other>
constexpr void apply(Sliding&, Other) {}  // an option that does not concern windows

template <class... Options>
constexpr Sliding sliding(Options... options) {
  Sliding s;
  (apply(s, options), ...);
  return s;
}

/// The window of a pooling. Its first argument K is a Kernel or a number, the extent of a square window.
template <auto K, auto... Options>
constexpr kernels::Window pooling_window() {
  Sliding s;
  if constexpr (std::integral<option_type<K>>)
    s = sliding(Kernel<static_cast<int>(K)>, Options...);
  else
    s = sliding(K, Options...);
  if (!s.strided) {
    s.window.sh = s.window.kh;
    s.window.sw = s.window.kw;
  }
  return s.window;
}

template <auto K, auto... Options>
inline constexpr bool are_pooling_options =
    (std::integral<option_type<K>> ||
     is_option<option_type<K>, layer_options::Kernel>)&&(is_window_option<option_type<Options>>&&...);

/// The misfit of a window and an input. Every layer with a window uses it.
constexpr diagnostics::Misfit check(const kernels::Window& w, Dims in) {
  if (in.rank != 3) return {Need::three_dimensions_C_H_W, Remedy::remove_the_Flatten_before_this_layer, in};
  if (w.kh < 1 || w.kw < 1) return {Need::positive_extents, Remedy::a_positive_number, dims(w.kh, w.kw)};
  if (w.sh < 1 || w.sw < 1) return {Need::positive_extents, Remedy::a_positive_number, dims(w.sh, w.sw)};
  if (w.dh < 1 || w.dw < 1) return {Need::positive_extents, Remedy::a_positive_number, dims(w.dh, w.dw)};
  if (w.ph < 0 || w.pw < 0) return {Need::positive_extents, Remedy::a_positive_number, dims(w.ph, w.pw)};
  if (!w.fits(in[1], in[2]))
    return {Need::window_no_larger_than_padded_input, Remedy::a_smaller_Kernel_or_more_Padding, in};
  return {};
}

constexpr LayerSpec misfit(const diagnostics::Misfit& m) {
  LayerSpec s;
  s.misfit = m;
  return s;
}

}  // namespace detail
}  // namespace tenon

TENON_IEEE_MATH_END
