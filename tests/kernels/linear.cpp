// Linear: output and gradients against the reference, with and without bias and activation.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/linear.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/activation.hpp"
#include "tenon/ref/linear.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr Fuse none{}, relu{{Activation::relu}}, tanh_{{Activation::tanh}}, silu{{Activation::silu}};

template <class T>
struct Gradient {
  T* data = nullptr;
  bool add = false;
};

/// The kernels of one shape and activation behind pointers, so that what follows is compiled once.
template <class T>
struct Op {
  int in, out;
  Act act;
  void (*forward)(Cpu&, int batch, const T* x, const T* w, const T* b, std::vector<T>& packed, T* y);
  void (*backward)(Cpu&, int batch, const T* x, const T* w, const T* y, T* dy, Gradient<T> dx, Gradient<T> dw,
                   Gradient<T> db, std::vector<T>& work);
};

template <class T, int I, int O, Fuse F>
constexpr Op<T> op() {
  Op<T> op{I, O, F.act, {}, {}};
  op.forward = [](Cpu& dev, int batch, const T* x, const T* w, const T* b, std::vector<T>& packed, T* y) {
    linear_prepare(dev, In<T, O, I>(w), Span<T>{packed.data(), packed.size()});
    linear_forward(dev, In<T, Batch, I>(x, batch), In<T, O, I>(w), Span<const T>{packed.data(), packed.size()},
                   In<T, O>(b), Epilogue<F>{}, Out<T, Batch, O>(y, batch));
  };
  if constexpr (F.act.from_output())
    op.backward = [](Cpu& dev, int batch, const T* x, const T* w, const T* y, T* dy, Gradient<T> dx, Gradient<T> dw,
                     Gradient<T> db, std::vector<T>& work) {
      linear_backward(dev, In<T, Batch, I>(x, batch), In<T, O, I>(w), In<T, Batch, O>(y, batch), Epilogue<F>{},
                      Out<T, Batch, O>(dy, batch), Into<T, Batch, I>(dx.data, batch, dx.add),
                      Into<T, O, I>(dw.data, 1, dw.add), Into<T, O>(db.data, 1, db.add),
                      Span<T>{work.data(), work.size()});
    };
  return op;
}

template <class T>
void agrees(const Op<T>& op, Kind kind, int batch, bool bias) {
  const int I = op.in, O = op.out;
  INFO("batch " << batch << ", " << I << " -> " << O << ", activation " << static_cast<int>(op.act.kind)
                << (bias ? ", bias" : ""));
  const auto x = values<T>(kind, batch * I, 1), w = values<T>(kind, O * I, 2), b = values<T>(kind, O, 3),
             dy = values<T>(kind, batch * O, 4), old_dx = values<T>(kind, batch * I, 5),
             old_dw = values<T>(kind, O * I, 6), old_db = values<T>(kind, O, 7);
  std::vector<double> z(batch * O), want(batch * O), dz(batch * O), want_dx(batch * I), want_dw(O * I), want_db(O);
  kernels::ref::linear(widen(x).data(), widen(w).data(), bias ? widen(b).data() : nullptr, batch, I, O, z.data());
  for (int i = 0; i < batch * O; ++i) {
    want[i] = kernels::ref::activation(op.act, z[i]);
    dz[i] = dy[i] * kernels::ref::activation_slope(op.act, z[i]);
  }
  kernels::ref::linear_backward(widen(x).data(), widen(w).data(), dz.data(), batch, I, O, want_dx.data(),
                                want_dw.data(), want_db.data());
  const double off = allowed<T>(kind, I), off_dx = allowed<T>(kind, O), off_dw = allowed<T>(kind, batch);

  SameBits same, same_dx, same_dw, same_db;
  for_each_cpu([&](Cpu& dev) {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    std::vector<T> packed(kernels::linear_packed(I, O), nan), work(kernels::linear_workspace(I, O), nan),
        y(batch * O, nan), dx(batch * I, nan), dw(O * I, nan), db(O, nan), dz_(dy);
    spoil_scratch(dev, kernels::linear_scratch<T>(I, O));
    op.forward(dev, batch, x.data(), w.data(), bias ? b.data() : nullptr, packed, y.data());
    CHECK(difference(y, want, 0, off) == "");
    CHECK(same(dev, y));
    if (!op.backward) return;  // an activation for inference alone

    const T* const y_ = op.act.kind == Activation::none ? nullptr : y.data();
    op.backward(dev, batch, x.data(), w.data(), y_, dz_.data(), {dx.data()}, {dw.data()}, {db.data()}, work);
    CHECK(difference(dx, want_dx, 0, off_dx) == "");
    CHECK(difference(dw, want_dw, 0, off_dw) == "");
    CHECK(difference(db, want_db, 0, off_dw) == "");
    CHECK((same_dx(dev, dx) && same_dw(dev, dw) && same_db(dev, db)));

    // Each gradient may be unwanted, and each may be added to what is there.
    auto more_dx = old_dx, more_dw = old_dw, more_db = old_db;
    op.backward(dev, batch, x.data(), w.data(), y_, (dz_ = dy).data(), {more_dx.data(), true}, {}, {}, work);
    op.backward(dev, batch, x.data(), w.data(), y_, (dz_ = dy).data(), {}, {more_dw.data(), true}, {}, work);
    op.backward(dev, batch, x.data(), w.data(), y_, (dz_ = dy).data(), {}, {}, {more_db.data(), true}, work);
    CHECK(difference(more_dx, sum(old_dx, want_dx), 0, off_dx) == "");
    CHECK(difference(more_dw, sum(old_dw, want_dw), 0, off_dw) == "");
    CHECK(difference(more_db, sum(old_db, want_db), 0, off_dw) == "");
  });
}

template <class T, int I, int O, Fuse F>
void agrees(Kind kind, int batch, bool bias) {
  agrees(op<T, I, O, F>(), kind, batch, bias);
}
template <class T, int I, int O, Fuse F>
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
  agrees<float, 3, 17, relu>(Kind::whole, 1031, true);  // two chunks of rows
  agrees<float, 33, 65, relu>(Kind::whole, 101, true);
  agrees<float, 65, 259, none>(Kind::whole, 261, true);
  agrees<float, 1031, 17, none>(Kind::whole, 2, true);
}

TEST_CASE("linear of real numbers agrees within rounding") {
  agrees<float, 784, 65, relu>(Kind::real, 1, true);
  agrees<float, 784, 65, relu>(Kind::real, 67, true);
  agrees<float, 33, 65, tanh_>(Kind::real, 17, true);
  agrees<double, 33, 65, tanh_>(Kind::real, 17, true);
  agrees<float, 33, 65, silu>(Kind::real, 1, true);  // forward alone
}
