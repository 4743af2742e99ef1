// Conv2d: output, argmax and gradients against the reference, for every window and epilogue. Runs on any device
// (devices.hpp). The including file defines Device and
//   workspace_sizes<T, D, F>()   the workspace (values) and scratch (bytes) that the caller provides to a convolution
//   bound<T>(kind, k)            the allowed error of a sum of k products
//   exact()                      whether products of floats are computed in full float precision
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/conv2d.hpp"

namespace {

struct WorkspaceSizes {
  std::size_t work = 0, scratch = 0;
};
template <class T, ConvDims D, Epilogue F>
constexpr WorkspaceSizes workspace_sizes();
template <class T>
double bound(Kind kind, int k);
bool exact();

constexpr Activation relu_{Activation::relu};
constexpr Epilogue none{}, relu{relu_}, leaky{{Activation::leaky_relu, 1, 4}}, tanh_{{Activation::tanh}},
    none_first{{}, false, {}, true}, relu_first{relu_, false, {}, true}, pool2{{}, true, {2, 2, 2, 2}},
    relu_pool2{relu_, true, {2, 2, 2, 2}}, relu_pool3{relu_, true, {3, 3, 3, 3}},
    relu_pool2_first{relu_, true, {2, 2, 2, 2}, true}, leaky_pool23{{Activation::leaky_relu, 1, 4}, true, {2, 3, 2, 3}},
    tanh_pool2{{Activation::tanh}, true, {2, 2, 2, 2}}, gelu_pool2{{Activation::gelu}, true, {2, 2, 2, 2}},
    relu_pool7{relu_, true, {7, 7, 7, 7}}, relu_pool9{relu_, true, {9, 8, 9, 8}},
    relu_pool9_first{relu_, true, {9, 8, 9, 8}, true};
constexpr Window three{3, 3, 1, 1, 1, 1};

/// Function pointers to the kernels of one shape and epilogue, so that the test code is compiled only once.
template <class T>
struct Op {
  ConvDims d;
  Epilogue f;
  std::size_t packed;
  WorkspaceSizes workspace_sizes;
  void (*forward)(Device&, int batch, const T* x, const T* w, const T* b, Span<T> packed, T* y, std::uint8_t* argmax);
  void (*backward)(Device&, int batch, const T* x, const T* w, const T* y, const std::uint8_t* argmax, T* dy,
                   Gradient<T> dx, Gradient<T> dw, Gradient<T> db, Span<T> work);
};

template <class T, ConvDims D, Epilogue F>
constexpr Op<T> op() {
  constexpr int cg = D.c / D.groups, kh = D.window.kh, kw = D.window.kw;
  constexpr int oh = kernels::ref::pool_of(D, F).oh(), ow = kernels::ref::pool_of(D, F).ow();
  using X = In<T, Batch, D.h, D.w, D.c>;
  using W = In<T, D.o, cg, kh, kw>;
  using Y = Out<T, Batch, oh, ow, D.o>;
  using Places = Out<std::uint8_t, Batch, oh, ow, D.o>;
  using YIn = In<T, Batch, oh, ow, D.o>;  // named here because clang 14 requires a lambda that spells it to capture oh
  using PlacesIn = In<std::uint8_t, Batch, oh, ow, D.o>;
  Op<T> op{D,
           F,
           static_cast<std::size_t>(conv2d_workspace_sizes(kernels::DeviceTag<Device>{}, D, F).packed),
           workspace_sizes<T, D, F>(),
           {},
           {}};
  op.forward = [](Device& dev, int batch, const T* x, const T* w, const T* b, Span<T> packed, T* y,
                  std::uint8_t* argmax) {
    conv2d_prepare(dev, ConvTag<D>{}, W(w), packed);
    conv2d_forward(dev, ConvTag<D>{}, X(x, batch), Span<const T>{packed.data, packed.size}, In<T, D.o>(b),
                   EpilogueTag<F>{}, Y(y, batch), Places(argmax, batch));
  };
  if constexpr (F.activation.from_output())
    op.backward = [](Device& dev, int batch, const T* x, const T* w, const T* y, const std::uint8_t* argmax, T* dy,
                     Gradient<T> dx, Gradient<T> dw, Gradient<T> db, Span<T> work) {
      conv2d_backward(dev, ConvTag<D>{}, X(x, batch), W(w), YIn(y, batch), PlacesIn(argmax, batch), EpilogueTag<F>{},
                      Y(dy, batch), Into<T, Batch, D.h, D.w, D.c>(dx.data, batch, dx.accumulate),
                      Into<T, D.o, cg, kh, kw>(dw.data, 1, dw.accumulate), Into<T, D.o>(db.data, 1, db.accumulate),
                      work);
    };
  return op;
}

// Runs f in every way of the Cpu. On Cuda all ways would take too long here; a separate test covers them.
template <class F>
void each_way(F&& f) {
  if constexpr (std::is_same_v<Device, Cpu>) {
    Ways<Device>::each(f);
  } else {
    Device dev = device<Device>();
    f(dev);
  }
}

template <class T>
void agrees(const Op<T>& op, Kind kind, int batch, std::size_t offset = 0) {
  const ConvDims& d = op.d;
  const Window& win = d.window;
  const bool bias = batch != 2;
  INFO(d.h << " x " << d.w << " x " << d.c << " -> " << d.o << ", window " << win.kh << " x " << win.kw << ", stride "
           << win.sh << ", padding " << win.ph << ", dilation " << win.dh << ", groups " << d.groups << ", activation "
           << static_cast<int>(op.f.activation.kind) << ", pool " << op.f.pooled * op.f.pool.kh
           << (op.f.channels_first ? ", channels first" : "") << ", batch " << batch << ", offset " << offset);
  const PoolDims pool = kernels::ref::pool_of(d, op.f);
  const std::size_t n = static_cast<std::size_t>(batch), in = static_cast<std::size_t>(d.h * d.w * d.c),
                    dense = static_cast<std::size_t>(d.oh() * d.ow() * d.o),
                    out = static_cast<std::size_t>(pool.oh() * pool.ow() * d.o), o = static_cast<std::size_t>(d.o);
  const int taps = win.kh * win.kw, depth = d.c / d.groups * taps;
  const std::size_t weights = o * static_cast<std::size_t>(depth);
  const auto x = values<T>(kind, n * in, 1), w = values<T>(kind, weights, 2), b = values<T>(kind, o, 3),
             dy = values<T>(kind, n * out, 4), old_dx = values<T>(kind, n * in, 5),
             old_dw = values<T>(kind, weights, 6), old_db = values<T>(kind, o, 7);
  std::vector<double> z(n * dense), dz(dense), want(n * out), want_dx(n * in), want_dw(weights), want_db(o);
  std::vector<std::uint8_t> places(n * out);
  const auto wide_x = widen(x), wide_w = widen(w), wide_b = widen(b), wide_dy = widen(dy);
  for (std::size_t i = 0; i < n; ++i) {
    kernels::ref::conv2d(d, &wide_x[i * in], wide_w.data(), bias ? wide_b.data() : nullptr, &z[i * dense]);
    kernels::ref::conv2d_epilogue(d, op.f, &z[i * dense], &want[i * out], &places[i * out]);
  }
  const auto backward_of = [&](const std::vector<std::uint8_t>& of) {
    for (auto* v : {&want_dx, &want_dw, &want_db}) v->assign(v->size(), 0);
    for (std::size_t i = 0; i < n; ++i) {
      kernels::ref::conv2d_epilogue_backward(d, op.f, &z[i * dense], &of[i * out], &wide_dy[i * out], dz.data());
      kernels::ref::conv2d_backward(d, &wide_x[i * in], wide_w.data(), dz.data(), &want_dx[i * in], want_dw.data(),
                                    want_db.data());
    }
  };
  const double off = bound<T>(kind, depth), off_dx = bound<T>(kind, d.o / d.groups * taps),
               off_dw = bound<T>(kind, batch * d.oh() * d.ow());
  backward_of(places);

  constexpr T nan = std::numeric_limits<T>::quiet_NaN();  // fills memory that a kernel must not assume to be zero
  SameBitsOn<Device> same, same_gradients;
  each_way([&](Device& dev) {
    spoil_scratch(dev, op.workspace_sizes.scratch);
    Memory<T> x_(x, offset), w_(w, offset), b_(b), packed(op.packed, nan, offset), y(n * out, nan), dy_(dy, offset),
        work(op.workspace_sizes.work, nan);
    Memory<std::uint8_t> argmax(op.f.pooled ? n * out : 0, 77);
    const T* const bias_ = bias ? b_.data() : nullptr;
    op.forward(dev, batch, x_.data(), w_.data(), bias_, packed.span(), y.data(), nullptr);
    CHECK(difference(y.read(), want, 0, off) == "");
    y.write(std::vector<T>(n * out, nan));
    spoil_scratch(dev, op.workspace_sizes.scratch);
    op.forward(dev, batch, x_.data(), w_.data(), bias_, packed.span(), y.data(), op.f.pooled ? argmax.data() : nullptr);
    CHECK(difference(y.read(), want, 0, off) == "");
    CHECK(same(dev, y.read()));
    if (op.f.pooled && (kind == Kind::whole || exact())) CHECK(argmax.read() == places);
    CHECK((y.intact() && argmax.intact() && packed.intact()));
    if (!op.backward) return;  // this activation supports inference only

    // Uses the argmax that forward has found, because rounding may move a maximum.
    if (op.f.pooled && argmax.read() != places) backward_of(argmax.read());
    Memory<T> dx(x.size()), dw(w.size()), db(b.size());
    const auto backward = [&](Gradient<T> to_dx, Gradient<T> to_dw, Gradient<T> to_db) {
      spoil_scratch(dev, op.workspace_sizes.scratch);
      dy_.write(dy);
      op.backward(dev, batch, x_.data(), w_.data(), op.f.activation.kind == Activation::none ? nullptr : y.data(),
                  op.f.pooled ? argmax.data() : nullptr, dy_.data(), to_dx, to_dw, to_db, work.span());
    };
    backward({dx.data()}, {dw.data()}, {db.data()});
    CHECK(difference(dx.read(), want_dx, 0, off_dx) == "");
    CHECK(difference(dw.read(), want_dw, 0, off_dw) == "");
    CHECK(difference(db.read(), want_db, 0, off_dw) == "");
    CHECK(same_gradients(dev, joined(dx.read(), dw.read(), db.read())));
    CHECK((dx.intact() && dw.intact() && db.intact() && dy_.intact() && x_.intact() && work.intact()));

    backward({}, {dw.data()}, {db.data()});  // no dx, as in the first layer of a network
    CHECK(difference(dw.read(), want_dw, 0, off_dw) == "");
    CHECK(difference(db.read(), want_db, 0, off_dw) == "");

    // Each gradient may be omitted, and each may be accumulated.
    dx.write(old_dx), dw.write(old_dw), db.write(old_db);
    backward({dx.data(), true}, {}, {});
    backward({}, {dw.data(), true}, {});
    backward({}, {}, {db.data(), true});
    CHECK(difference(dx.read(), sum(old_dx, want_dx), 0, off_dx) == "");
    CHECK(difference(dw.read(), sum(old_dw, want_dw), 0, off_dw) == "");
    CHECK(difference(db.read(), sum(old_db, want_db), 0, off_dw) == "");
  });
}

template <class T, ConvDims D, Epilogue F>
void agrees(Kind kind, int batch) {
  agrees(op<T, D, F>(), kind, batch);
}
template <class T, ConvDims D, Epilogue F>
void agrees() {
  for (const int batch : {1, 2, many<Device>(17, 5)}) agrees(op<T, D, F>(), Kind::whole, batch);
}

}  // namespace

TEST_CASE("conv2d agrees with the reference", "[smoke]") {
  agrees<float, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>();  // the pool does not divide the image
  agrees<float, ConvDims{3, 7, 5, 17, 1, three}, relu>();
  agrees<double, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>();
  agrees<double, ConvDims{3, 7, 5, 17, 1, three}, relu>();
}

TEST_CASE("conv2d agrees with the reference for every kind of window") {
  agrees<float, ConvDims{1, 1, 1, 1, 1, {}}, none>();
  agrees<float, ConvDims{16, 3, 7, 16, 1, {}}, relu>();  // 1 x 1
  agrees<float, ConvDims{3, 11, 7, 17, 1, {5, 5, 2, 2, 2, 2}}, none>();
  agrees<float, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
  agrees<float, ConvDims{17, 6, 8, 8, 1, {3, 3, 1, 2, 2, 1, 2, 3}}, relu>();
  agrees<float, ConvDims{1, 37, 1, 3, 1, {4, 1, 3, 1}}, none>();              // tall
  agrees<float, ConvDims{3, 1, 41, 1, 1, {1, 5, 1, 1, 0, 2}}, relu>();        // wide
  agrees<float, ConvDims{3, 10, 11, 5, 1, {2, 3, 3, 4, 0, 1}}, none>();       // the stride is larger than the kernel
  agrees<float, ConvDims{3, 4, 4, 3, 1, {3, 3, 1, 1, 4, 3}}, relu>();         // the padding is larger than the kernel
  agrees<float, ConvDims{4, 9, 10, 8, 1, {3, 4, 4, 6, 2, 1, 2, 4}}, none>();  // stride and dilation share a factor
  agrees<double, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
}

TEST_CASE("conv2d agrees with the reference for groups") {
  agrees<float, ConvDims{8, 6, 6, 32, 2, three}, relu>();
  agrees<float, ConvDims{17, 5, 7, 17, 17, three}, none>();  // depthwise
  agrees<float, ConvDims{3, 5, 7, 6, 3, {3, 3, 2, 2, 1, 1}}, relu_pool2_first>();
  agrees<float, ConvDims{6, 7, 7, 3, 3, {3, 3, 1, 1, 2, 2, 2, 2}}, pool2>();
  agrees<double, ConvDims{8, 6, 6, 32, 2, three}, relu_pool2>();
}

TEST_CASE("conv2d agrees with the reference for every epilogue") {
  agrees<float, ConvDims{16, 6, 6, 16, 1, three}, none_first>();
  agrees<float, ConvDims{3, 5, 7, 17, 1, three}, relu_first>();
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, pool2>();
  agrees<float, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>();
  agrees<float, ConvDims{5, 11, 10, 7, 1, three}, relu_pool3>();
  agrees<float, ConvDims{3, 8, 13, 9, 1, {}}, leaky_pool23>();
  agrees<float, ConvDims{8, 14, 15, 16, 1, three}, relu_pool7>(Kind::whole, 2);
  agrees<float, ConvDims{4, 10, 9, 5, 1, {}}, relu_pool9>();  // the window is larger than a tile
  agrees<float, ConvDims{4, 10, 17, 5, 1, {}}, relu_pool9_first>();
  agrees<double, ConvDims{3, 5, 7, 17, 1, three}, relu_first>();
  agrees<double, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>();
}

namespace {

template <ConvDims D>
void passes_nan_on() {
  auto x = integers<float>(D.c * 6 * 6, 1);
  x[(1 * 6 + 1) * D.c + 2] = std::numeric_limits<float>::quiet_NaN();  // pixel (1, 1): used by (0 .. 2, 0 .. 2)
  const Op<float> o = op<float, D, relu_pool2>();
  each_way([&](Device& dev) {
    spoil_scratch(dev, o.workspace_sizes.scratch);
    Memory<float> x_(x), w(integers<float>(9 * D.c * 9, 2)), packed(o.packed), y(9 * 9);
    Memory<std::uint8_t> places(9 * 9);
    o.forward(dev, 1, x_.data(), w.data(), nullptr, packed.span(), y.data(), places.data());
    const auto got = y.read();
    const auto at = places.read();
    for (std::size_t p = 0; p < 9; ++p)
      for (std::size_t c = 0; c < 9; ++c) {
        const bool seen = p / 3 < 2 && p % 3 < 2;
        CHECK(std::isnan(got[p * 9 + c]) == seen);
        // The argmax is the last NaN of the pooling window.
        if (seen) CHECK(at[p * 9 + c] == (p / 3 == 0) * 2 + (p % 3 == 0));
      }
  });
}

}  // namespace

TEST_CASE("conv2d passes NaN on, through relu and pool too") { passes_nan_on<ConvDims{3, 6, 6, 9, 1, three}>(); }
