// Linear: output and gradients against the reference, with and without bias and activation, in float and double, in tf32
// and bf16 where numbers are whole and small enough to be exact there, too.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/linear.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/activation.hpp"
#include "tenon/ref/linear.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr Fuse none{}, relu{{Activation::relu}}, tanh_{{Activation::tanh}}, silu{{Activation::silu}};

/// Which gradients are asked for, and whether they are added to what is there.
struct Asked {
  bool dx, dw, db, add;
};

template <class T, int I, int O, Fuse F>
void agrees(Kind kind, int batch, bool bias, CudaMath math = CudaMath::fp32, bool every_order = false) {
  INFO("batch " << batch << ", " << I << " -> " << O << ", activation " << static_cast<int>(F.act.kind)
                << (bias ? ", bias" : "") << ", math " << static_cast<int>(math));
  const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  const auto x = values<T>(kind, size(batch, I), 1), w = values<T>(kind, size(O, I), 2),
             b = values<T>(kind, size(O, 1), 3), dy = values<T>(kind, size(batch, O), 4),
             old_dx = values<T>(kind, size(batch, I), 5), old_dw = values<T>(kind, size(O, I), 6),
             old_db = values<T>(kind, size(O, 1), 7);
  std::vector<double> z(size(batch, O)), want(z), dz(z), want_dx(x.size()), want_dw(w.size()), want_db(b.size());
  kernels::ref::linear(widen(x).data(), widen(w).data(), bias ? widen(b).data() : nullptr, batch, I, O, z.data());
  for (std::size_t i = 0; i < z.size(); ++i) {
    want[i] = kernels::ref::activation(F.act, z[i]);
    dz[i] = static_cast<double>(dy[i]) * kernels::ref::activation_slope(F.act, z[i]);
  }
  kernels::ref::linear_backward(widen(x).data(), widen(w).data(), dz.data(), batch, I, O, want_dx.data(),
                                want_dw.data(), want_db.data());
  const double off = allowed<T>(kind, I), off_dx = allowed<T>(kind, O), off_dw = allowed<T>(kind, batch);

  Cuda dev = cuda();
  dev.math = math;
  OnDevice<T> x_(x), w_(w), b_(b), y_(size(batch, O)), dy_(dy), dx_(old_dx), dw_(old_dw), db_(old_db);
  const auto forward = [&] {
    linear_prepare(dev, In<T, O, I>(w_.data()), Span<T>{});
    linear_forward(dev, In<T, Batch, I>(x_.data(), batch), In<T, O, I>(w_.data()), Span<const T>{},
                   In<T, O>(bias ? b_.data() : nullptr), Epilogue<F>{}, Out<T, Batch, O>(y_.data(), batch));
    return y_.read();
  };
  if (every_order)
    CHECK(same_bits_always(forward));
  else
    forward();
  CHECK(difference(y_.read(), want, 0, off) == "");
  CHECK(y_.intact());

  if constexpr (F.act.from_output()) {
    for (const Asked a : {Asked{true, true, true, false},
                          {true, true, true, true},
                          {true, false, false, true},
                          {false, true, false, true},
                          {false, false, true, true},
                          {false, false, false, false}}) {
      INFO("asked for" << (a.dx ? " dx" : "") << (a.dw ? " dw" : "") << (a.db ? " db" : "")
                       << (a.add ? ", added" : ""));
      const auto backward = [&] {
        upload(dev, dy.data(), dy_.data(), dy.size());
        upload(dev, old_dx.data(), dx_.data(), old_dx.size());
        upload(dev, old_dw.data(), dw_.data(), old_dw.size());
        upload(dev, old_db.data(), db_.data(), old_db.size());
        linear_backward(dev, In<T, Batch, I>(x_.data(), batch), In<T, O, I>(w_.data()),
                        In<T, Batch, O>(F.act.kind == Activation::none ? nullptr : y_.data(), batch), Epilogue<F>{},
                        Out<T, Batch, O>(dy_.data(), batch),
                        Into<T, Batch, I>(a.dx ? dx_.data() : nullptr, batch, a.add),
                        Into<T, O, I>(a.dw ? dw_.data() : nullptr, 1, a.add),
                        Into<T, O>(a.db ? db_.data() : nullptr, 1, a.add), Span<T>{});
        auto all = dx_.read();
        const auto more = dw_.read();
        all.insert(all.end(), more.begin(), more.end());
        return all;
      };
      if (every_order && a.dx && a.dw)
        CHECK(same_bits_always(backward));
      else
        backward();
      const auto after = [&](bool asked, const std::vector<T>& before, const std::vector<double>& gradient) {
        return !asked ? widen(before) : a.add ? sum(before, gradient) : gradient;
      };
      CHECK(difference(dx_.read(), after(a.dx, old_dx, want_dx), 0, off_dx) == "");
      CHECK(difference(dw_.read(), after(a.dw, old_dw, want_dw), 0, off_dw) == "");
      CHECK(difference(db_.read(), after(a.db, old_db, want_db), 0, off_dw) == "");
      if (a.dx || F.act.kind != Activation::none) CHECK(difference(dy_.read(), dz, 0, off) == "");
    }
    CHECK((dx_.intact() && dw_.intact() && db_.intact() && dy_.intact()));
  }
}

template <class T, int I, int O, Fuse F>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees<T, I, O, F>(Kind::whole, batch, batch != 2);
}

}  // namespace

TEST_CASE("cuda: linear agrees with the reference at one tile, one more, tall and wide") {
  agrees<float, 1, 1, none>();
  agrees<float, 7, 17, relu>();
  agrees<double, 7, 17, relu>();
  agrees<float, 33, 65, relu>();
  agrees<float, 1, 131, relu>();
  agrees<float, 131, 1, none>();
  agrees<double, 33, 65, none>();
  agrees<float, 3, 17, relu>(Kind::whole, 1031, true);
  agrees<float, 33, 65, relu>(Kind::whole, 101, true);
  agrees<float, 1031, 17, none>(Kind::whole, 2, true);
}

TEST_CASE("cuda: linear gives the same bits in every order") {
  agrees<float, 36, 40, relu>(Kind::real, 33, true, CudaMath::fp32, true);
  agrees<double, 36, 10, relu>(Kind::real, 33, true, CudaMath::fp32, true);
  agrees<float, 520, 10, none>(Kind::whole, 5, true, CudaMath::tf32, true);
  agrees<float, 520, 10, none>(Kind::whole, 5, true, CudaMath::bf16, true);
}

TEST_CASE("cuda: linear of real numbers agrees within rounding") {
  agrees<float, 784, 65, relu>(Kind::real, 1, true);
  agrees<float, 784, 65, relu>(Kind::real, 67, true);
  agrees<float, 33, 65, tanh_>(Kind::real, 17, true);
  agrees<double, 33, 65, tanh_>(Kind::real, 17, true);
  agrees<float, 33, 65, silu>(Kind::real, 1, true);  // forward alone
}

TEST_CASE("cuda: the layers of a digit classifier with whole numbers") {
  agrees<float, 784, 256, relu>(Kind::whole, 32, true);
  agrees<float, 256, 128, relu>(Kind::whole, 128, true);
  agrees<float, 128, 10, none>(Kind::whole, 128, true);
}
