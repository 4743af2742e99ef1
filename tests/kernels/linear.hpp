// Linear: output and gradients against the reference, with and without bias and activation. Runs on any device
// (devices.hpp). The including file defines Device and workspace_sizes<T>(in, out): the memory that the caller
// provides.
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/activation.hpp"
#include "tenon/ref/linear.hpp"

namespace {

/// Sizes of the packed weights (values), the workspace (values) and the scratch (bytes).
struct WorkspaceSizes {
  std::size_t packed = 0, work = 0, scratch = 0;
};
template <class T>
constexpr WorkspaceSizes workspace_sizes(int in, int out);

constexpr Epilogue none{}, relu{{Activation::relu}}, tanh_{{Activation::tanh}}, silu{{Activation::silu}};

/// Function pointers to the kernels of one shape and activation, so that the test code is compiled only once.
template <class T>
struct Op {
  int in, out;
  Activation activation;
  void (*forward)(Device&, int batch, const T* x, const T* w, const T* b, Span<T> packed, T* y);
  void (*backward)(Device&, int batch, const T* x, const T* w, const T* y, T* dy, Gradient<T> dx, Gradient<T> dw,
                   Gradient<T> db, Span<T> work);
};

template <class T, int I, int O, Epilogue F>
constexpr Op<T> op() {
  Op<T> op{I, O, F.activation, {}, {}};
  op.forward = [](Device& dev, int batch, const T* x, const T* w, const T* b, Span<T> packed, T* y) {
    linear_prepare(dev, In<T, O, I>(w), packed);
    linear_forward(dev, In<T, Batch, I>(x, batch), In<T, O, I>(w), Span<const T>{packed.data, packed.size}, In<T, O>(b),
                   EpilogueTag<F>{}, Out<T, Batch, O>(y, batch));
  };
  if constexpr (F.activation.from_output())
    op.backward = [](Device& dev, int batch, const T* x, const T* w, const T* y, T* dy, Gradient<T> dx, Gradient<T> dw,
                     Gradient<T> db, Span<T> work) {
      linear_backward(dev, In<T, Batch, I>(x, batch), In<T, O, I>(w), In<T, Batch, O>(y, batch), EpilogueTag<F>{},
                      Out<T, Batch, O>(dy, batch), Into<T, Batch, I>(dx.data, batch, dx.accumulate),
                      Into<T, O, I>(dw.data, 1, dw.accumulate), Into<T, O>(db.data, 1, db.accumulate), work);
    };
  return op;
}

/// Which gradients are requested, and whether they are accumulated.
struct Asked {
  bool dx, dw, db, accumulate;
};

template <class T>
void agrees(const Op<T>& op, Kind kind, int batch, bool bias, bool every_way = std::is_same_v<Device, Cpu>,
            std::size_t offset = 0) {
  INFO("batch " << batch << ", " << op.in << " -> " << op.out << ", activation " << static_cast<int>(op.activation.kind)
                << (bias ? ", bias" : "") << ", offset " << offset);
  const std::size_t n = static_cast<std::size_t>(batch), in = static_cast<std::size_t>(op.in),
                    out = static_cast<std::size_t>(op.out);
  const auto x = values<T>(kind, n * in, 1), w = values<T>(kind, out * in, 2), b = values<T>(kind, out, 3),
             dy = values<T>(kind, n * out, 4), old_dx = values<T>(kind, n * in, 5),
             old_dw = values<T>(kind, out * in, 6), old_db = values<T>(kind, out, 7);
  std::vector<double> z(n * out), want(z), dz(z), want_dx(n * in), want_dw(out * in), want_db(out);
  kernels::ref::linear(widen(x).data(), widen(w).data(), bias ? widen(b).data() : nullptr, batch, op.in, op.out,
                       z.data());
  for (std::size_t i = 0; i < z.size(); ++i) {
    want[i] = kernels::ref::activation(op.activation, z[i]);
    dz[i] = static_cast<double>(dy[i]) * kernels::ref::activation_derivative(op.activation, z[i]);
  }
  kernels::ref::linear_backward(widen(x).data(), widen(w).data(), dz.data(), batch, op.in, op.out, want_dx.data(),
                                want_dw.data(), want_db.data());
  const double off = allowed<T>(kind, op.in), off_dx = allowed<T>(kind, op.out), off_dw = allowed<T>(kind, batch);

  constexpr T nan = std::numeric_limits<T>::quiet_NaN();  // fills memory that a kernel must not assume to be zero
  const WorkspaceSizes room_ = workspace_sizes<T>(op.in, op.out);
  SameBitsOn<Device> same, same_gradients;
  const auto run = [&](Device& dev) {
    spoil_scratch(dev, room_.scratch);
    Memory<T> x_(x, offset), w_(w, offset), b_(b), packed(room_.packed, nan), work(room_.work, nan), y(n * out, nan),
        dy_(dy, offset);
    op.forward(dev, batch, x_.data(), w_.data(), bias ? b_.data() : nullptr, packed.span(), y.data());
    CHECK(difference(y.read(), want, 0, off) == "");
    CHECK(same(dev, y.read()));
    CHECK((y.intact() && packed.intact()));
    if (!op.backward) return;  // this activation supports inference only

    for (const Asked a : {Asked{true, true, true, false},
                          {true, true, true, true},
                          {true, false, false, true},
                          {false, true, false, true},
                          {false, false, true, true},
                          {false, false, false, false}}) {
      INFO("asked for" << (a.dx ? " dx" : "") << (a.dw ? " dw" : "") << (a.db ? " db" : "")
                       << (a.accumulate ? ", added" : ""));
      const auto before = [&](bool asked, const std::vector<T>& old) {
        return Memory<T>(asked && !a.accumulate ? std::vector<T>(old.size(), nan) : old);
      };
      Memory<T> dx = before(a.dx, old_dx), dw = before(a.dw, old_dw), db = before(a.db, old_db);
      const auto to = [&](bool asked, Memory<T>& gradient) {
        return asked ? Gradient<T>{gradient.data(), a.accumulate} : Gradient<T>{};
      };
      dy_.write(dy);
      op.backward(dev, batch, x_.data(), w_.data(), op.activation.kind == Activation::none ? nullptr : y.data(),
                  dy_.data(), to(a.dx, dx), to(a.dw, dw), to(a.db, db), work.span());
      const auto after = [&](bool asked, const std::vector<T>& old, const std::vector<double>& gradient) {
        return !asked ? widen(old) : a.accumulate ? sum(old, gradient) : gradient;
      };
      CHECK(difference(dx.read(), after(a.dx, old_dx, want_dx), 0, off_dx) == "");
      CHECK(difference(dw.read(), after(a.dw, old_dw, want_dw), 0, off_dw) == "");
      CHECK(difference(db.read(), after(a.db, old_db, want_db), 0, off_dw) == "");
      CHECK(difference(dy_.read(), dz, 0, off) == "");
      if (!a.accumulate && a.dx) CHECK(same_gradients(dev, joined(dx.read(), dw.read(), db.read())));
      CHECK((dx.intact() && dw.intact() && db.intact() && dy_.intact() && work.intact()));
    }
  };
  if (every_way) return Ways<Device>::each(run);
  Device dev = device<Device>();
  run(dev);
}

template <class T, int I, int O, Epilogue F>
void agrees(Kind kind, int batch) {
  agrees(op<T, I, O, F>(), kind, batch, true);
}
template <class T, int I, int O, Epilogue F>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees(op<T, I, O, F>(), Kind::whole, batch, batch != 2);
}

}  // namespace

TEST_CASE("linear agrees with the reference", "[smoke]") {
  agrees<float, 1, 1, none>();
  agrees<float, 7, 17, relu>();
  agrees<double, 7, 17, relu>();
}

TEST_CASE("linear agrees with the reference at one tile, one more, tall and wide") {
  agrees<float, 16, 16, relu>();
  agrees<float, 17, 16, none>();
  agrees<float, 33, 65, relu>();
  agrees<float, 1, 131, relu>();
  agrees<float, 131, 1, none>();
  agrees<float, 300, 10, none>();
  agrees<double, 33, 65, none>();
  agrees<float, 3, 17, relu>(Kind::whole, 1031);  // two chunks of rows on the Cpu
  agrees<float, 33, 65, relu>(Kind::whole, 101);
  agrees<float, 65, 259, none>(Kind::whole, 261);
  agrees<float, 1031, 17, none>(Kind::whole, 2);
}

TEST_CASE("linear of real numbers agrees within rounding") {
  agrees<float, 784, 65, relu>(Kind::real, 1);
  agrees<float, 784, 65, relu>(Kind::real, 67);
  agrees<float, 33, 65, tanh_>(Kind::real, 17);
  agrees<double, 33, 65, tanh_>(Kind::real, 17);
  agrees<float, 33, 65, silu>(Kind::real, 1);  // forward only
}

TEST_CASE("linear of the layers of a digit classifier with whole numbers is exact") {
  agrees<float, 784, 256, relu>(Kind::whole, many<Device>(128, 32));
  agrees<float, 256, 128, relu>(Kind::whole, 128);
  agrees<float, 128, 10, none>(Kind::whole, 128);
}

TEST_CASE("linear gives the same bits in every way") {
  for (const std::size_t offset : {0u, 1u}) {
    agrees(op<float, 36, 40, relu>(), Kind::real, 33, true, true, offset);
    agrees(op<double, 36, 10, relu>(), Kind::real, 33, true, true, offset);
  }
}
