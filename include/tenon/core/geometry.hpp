// The numbers that kernels are templated on: activation, window, convolution and epilogue, as plain values.
// All are structural, so they are legal template arguments; all describe per-sample work and never a network.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/shape.hpp"

namespace tenon {

enum class Activation { none, relu, leaky_relu, sigmoid, tanh, gelu, gelu_tanh, silu };

/// An elementwise function; `num / den` is the negative slope of leaky_relu.
struct Act {
  Activation kind = Activation::none;
  int num = 0, den = 1;

  constexpr bool operator==(const Act&) const = default;
  /// Its derivative can be computed from its value alone, so the input need not be kept.
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

/// Windows that neither overlap nor reach outside: what a convolution can pool while it has the pixels at hand.
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

/// What is done to an operation's result before it is stored: activation, then max-pooling (if pooled), then the order
/// of the result: channels-last (h, w, c) as ever inside a network, or (c, h, w) where a Flatten follows.
struct Fuse {
  Act act{};
  bool pooled = false;
  Window pool{};
  bool channels_first = false;

  constexpr bool operator==(const Fuse&) const = default;
};

// The same values as empty types, to be passed to kernels and deduced there.
template <ConvDims D>
struct Conv {};
template <PoolDims D>
struct Pool {};
template <Fuse F>
struct Epilogue {};

}  // namespace tenon
