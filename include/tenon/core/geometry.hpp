// The parameters of kernels as plain values: activation, window, convolution and epilogue.
// Their types are structural, so they can be template arguments. They describe the work for one sample, not a network.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/shape.hpp"

namespace tenon::kernels {

/// An elementwise function; `num / den` is the negative slope of leaky_relu.
struct Activation {
  enum class Kind { none, relu, leaky_relu, sigmoid, tanh, gelu, gelu_tanh, silu };
  static constexpr Kind none = Kind::none, relu = Kind::relu, leaky_relu = Kind::leaky_relu, sigmoid = Kind::sigmoid,
                        tanh = Kind::tanh, gelu = Kind::gelu, gelu_tanh = Kind::gelu_tanh, silu = Kind::silu;

  Kind kind = Kind::none;
  int num = 0, den = 1;

  constexpr bool operator==(const Activation&) const = default;
  /// True if the derivative can be computed from the output alone. The input is then not kept.
  constexpr bool from_output() const {
    return kind != Activation::gelu && kind != Activation::gelu_tanh && kind != Activation::silu;
  }
};

/// A window sliding over (h, w): kernel, stride, padding, dilation, each (vertical, horizontal).
struct Window {
  int kh = 1, kw = 1, sh = 1, sw = 1, ph = 0, pw = 0, dh = 1, dw = 1;

  constexpr bool operator==(const Window&) const = default;
  constexpr int out_h(int h) const { return (h + 2 * ph - dh * (kh - 1) - 1) / sh + 1; }
  constexpr int out_w(int w) const { return (w + 2 * pw - dw * (kw - 1) - 1) / sw + 1; }
  constexpr bool fits(int h, int w) const { return h + 2 * ph >= dh * (kh - 1) + 1 && w + 2 * pw >= dw * (kw - 1) + 1; }
};

/// True if the windows do not overlap and do not extend beyond the image. A convolution can fuse such a pooling.
constexpr bool tiles_image(const Window& w) {
  return w.kh == w.sh && w.kw == w.sw && w.ph == 0 && w.pw == 0 && w.dh == 1 && w.dw == 1;
}

/// A convolution of one sample: x (h, w, c), w (o, c / groups, kh, kw) -> y (oh(), ow(), o).
struct ConvDims {
  int c = 1, h = 1, w = 1, o = 1, groups = 1;
  Window window{};

  constexpr bool operator==(const ConvDims&) const = default;
  constexpr int oh() const { return window.out_h(h); }
  constexpr int ow() const { return window.out_w(w); }
};

/// A pooling of one sample: x (h, w, c) -> y (oh(), ow(), c).
struct PoolDims {
  int c = 1, h = 1, w = 1;
  Window window{};

  constexpr bool operator==(const PoolDims&) const = default;
  constexpr int oh() const { return window.out_h(h); }
  constexpr int ow() const { return window.out_w(w); }
};

/// What a kernel does to its result before it stores it: the activation, then max-pooling (if pooled), then the order of
/// the result: channels-last (h, w, c), or channels-first (c, h, w) if a Flatten follows.
struct Epilogue {
  Activation activation{};
  bool pooled = false;
  Window pool{};
  bool channels_first = false;

  constexpr bool operator==(const Epilogue&) const = default;
};

// The same values as empty types. Kernels take them as arguments and deduce the values.
// HasDx: whether the backward pass of this convolution may be asked for dx.
template <ConvDims D, bool HasDx = true>
struct ConvTag {};
template <PoolDims D>
struct PoolTag {};
template <Epilogue F>
struct EpilogueTag {};

}  // namespace tenon::kernels
