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

template <class T, int I, int O, Fuse F>
void agrees(Kind kind, int batch, bool bias) {
  INFO("batch " << batch << ", " << I << " -> " << O << ", activation " << static_cast<int>(F.act.kind)
                << (bias ? ", bias" : ""));
  const auto x = values<T>(kind, batch * I, 1), w = values<T>(kind, O * I, 2), b = values<T>(kind, O, 3),
             dy = values<T>(kind, batch * O, 4), old_dx = values<T>(kind, batch * I, 5),
             old_dw = values<T>(kind, O * I, 6), old_db = values<T>(kind, O, 7);
  std::vector<double> z(batch * O), want(batch * O), dz(batch * O), want_dx(batch * I), want_dw(O * I), want_db(O);
  kernels::ref::linear(widen(x).data(), widen(w).data(), bias ? widen(b).data() : nullptr, batch, I, O, z.data());
  for (int i = 0; i < batch * O; ++i) {
    want[i] = kernels::ref::activation(F.act, z[i]);
    dz[i] = dy[i] * kernels::ref::activation_slope(F.act, z[i]);
  }
  kernels::ref::linear_backward(widen(x).data(), widen(w).data(), dz.data(), batch, I, O, want_dx.data(),
                                want_dw.data(), want_db.data());

  SameBits same, same_dx, same_dw, same_db;
  for_each_cpu([&](Cpu& dev) {
    std::vector<T> packed(kernels::linear_packed(I, O)), y(batch * O), dx(batch * I), dw(O * I), db(O), dz_(dy),
        work(kernels::linear_workspace(I, O), T(-77));
    const In<T, Batch, I> x_(x.data(), batch);
    const In<T, O, I> w_(w.data());
    linear_prepare(dev, w_, Span<T>{packed.data(), packed.size()});
    linear_forward(dev, x_, Span<const T>{packed.data(), packed.size()}, In<T, O>(bias ? b.data() : nullptr),
                   Epilogue<F>{}, Out<T, Batch, O>(y.data(), batch));
    CHECK(difference(y, want, 0, allowed<T>(kind, I)) == "");
    CHECK(same(dev, y));

    if (!F.act.from_output()) return;  // for inference alone
    const In<T, Batch, O> y_(F.act.kind == Activation::none ? nullptr : y.data(), batch);
    const auto backward = [&](Into<T, Batch, I> to_x, Into<T, O, I> to_w, Into<T, O> to_b) {
      dz_ = dy;
      if constexpr (F.act.from_output())
        linear_backward(dev, x_, w_, y_, Epilogue<F>{}, Out<T, Batch, O>(dz_.data(), batch), to_x, to_w, to_b,
                        Span<T>{work.data(), work.size()});
    };
    backward(Into<T, Batch, I>(dx.data(), batch), Into<T, O, I>(dw.data()), Into<T, O>(db.data()));
    CHECK(difference(dx, want_dx, 0, allowed<T>(kind, O)) == "");
    CHECK(difference(dw, want_dw, 0, allowed<T>(kind, batch)) == "");
    CHECK(difference(db, want_db, 0, allowed<T>(kind, batch)) == "");
    CHECK((same_dx(dev, dx) && same_dw(dev, dw) && same_db(dev, db)));

    // Each gradient may be unwanted, and each may be added to what is there.
    auto more_dx = old_dx, more_dw = old_dw, more_db = old_db;
    backward(Into<T, Batch, I>(more_dx.data(), batch, true), {}, {});
    backward({}, Into<T, O, I>(more_dw.data(), 1, true), {});
    backward({}, {}, Into<T, O>(more_db.data(), 1, true));
    CHECK(difference(more_dx, sum(old_dx, want_dx), 0, allowed<T>(kind, O)) == "");
    CHECK(difference(more_dw, sum(old_dw, want_dw), 0, allowed<T>(kind, batch)) == "");
    CHECK(difference(more_db, sum(old_db, want_db), 0, allowed<T>(kind, batch)) == "");
  });
}

template <class T, int I, int O, Fuse F>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees<T, I, O, F>(Kind::whole, batch, batch != 2);
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
}

TEST_CASE("linear of real numbers agrees within rounding") {
  agrees<float, 784, 65, relu>(Kind::real, 1, true);
  agrees<float, 784, 65, relu>(Kind::real, 67, true);
  agrees<float, 33, 65, tanh_>(Kind::real, 17, true);
  agrees<double, 33, 65, tanh_>(Kind::real, 17, true);
  agrees<float, 33, 65, silu>(Kind::real, 1, true);  // forward alone
}
