// Conv2d: output, places of maxima and gradients against the reference, for every window and epilogue.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/conv2d.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/conv2d.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr Act relu_{Activation::relu};
constexpr Fuse none{}, relu{relu_}, leaky{{Activation::leaky_relu, 1, 4}}, tanh_{{Activation::tanh}},
    none_first{{}, false, {}, true}, relu_first{relu_, false, {}, true}, pool2{{}, true, {2, 2, 2, 2}},
    relu_pool2{relu_, true, {2, 2, 2, 2}}, relu_pool3{relu_, true, {3, 3, 3, 3}},
    relu_pool2_first{relu_, true, {2, 2, 2, 2}, true}, leaky_pool23{{Activation::leaky_relu, 1, 4}, true, {2, 3, 2, 3}},
    tanh_pool2{{Activation::tanh}, true, {2, 2, 2, 2}}, gelu_pool2{{Activation::gelu}, true, {2, 2, 2, 2}};

template <class T>
struct Gradient {
  T* data = nullptr;
  bool add = false;
};

/// The kernels of one shape and epilogue behind pointers, so that what follows is compiled once.
template <class T>
struct Op {
  ConvDims d;
  Fuse f;
  std::size_t packed, work, scratch;
  void (*forward)(Cpu&, int batch, const T* x, const T* w, const T* b, std::vector<T>& packed, T* y,
                  std::uint8_t* argmax);
  void (*backward)(Cpu&, int batch, const T* x, const T* w, const T* y, const std::uint8_t* argmax, T* dy,
                   Gradient<T> dx, Gradient<T> dw, Gradient<T> db, std::vector<T>& work);
};

template <class T, ConvDims D, Fuse F>
constexpr Op<T> op() {
  constexpr int cg = D.c / D.groups, kh = D.window.kh, kw = D.window.kw;
  constexpr int oh = kernels::ref::pool_of(D, F).oh(), ow = kernels::ref::pool_of(D, F).ow();
  using X = In<T, Batch, D.h, D.w, D.c>;
  using W = In<T, D.o, cg, kh, kw>;
  using Y = Out<T, Batch, oh, ow, D.o>;
  using Places = Out<std::uint8_t, Batch, oh, ow, D.o>;
  using YIn = In<T, Batch, oh, ow, D.o>;  // named here: clang 14 wants oh captured if a lambda spells it
  using PlacesIn = In<std::uint8_t, Batch, oh, ow, D.o>;
  Op<T> op{D, F, kernels::conv2d_packed(D), kernels::conv2d_workspace(D, F), kernels::conv2d_scratch<T>(D, F), {}, {}};
  op.forward = [](Cpu& dev, int batch, const T* x, const T* w, const T* b, std::vector<T>& packed, T* y,
                  std::uint8_t* argmax) {
    conv2d_prepare(dev, Conv<D>{}, W(w), Span<T>{packed.data(), packed.size()});
    conv2d_forward(dev, Conv<D>{}, X(x, batch), Span<const T>{packed.data(), packed.size()}, In<T, D.o>(b),
                   Epilogue<F>{}, Y(y, batch), Places(argmax, batch));
  };
  if constexpr (F.act.from_output())
    op.backward = [](Cpu& dev, int batch, const T* x, const T* w, const T* y, const std::uint8_t* argmax, T* dy,
                     Gradient<T> dx, Gradient<T> dw, Gradient<T> db, std::vector<T>& work) {
      conv2d_backward(dev, Conv<D>{}, X(x, batch), W(w), YIn(y, batch), PlacesIn(argmax, batch), Epilogue<F>{},
                      Y(dy, batch), Into<T, Batch, D.h, D.w, D.c>(dx.data, batch, dx.add),
                      Into<T, D.o, cg, kh, kw>(dw.data, 1, dw.add), Into<T, D.o>(db.data, 1, db.add),
                      Span<T>{work.data(), work.size()});
    };
  return op;
}

/// One Op on one device. Memory is of the exact size, and holds NaN where a kernel must not take it for zeros.
template <class T>
struct Run {
  Cpu& dev;
  const Op<T>& op;
  int batch;
  const std::vector<T>&x, &w;
  std::vector<T> packed, y, work;
  std::vector<std::uint8_t> argmax;

  Run(Cpu& on, const Op<T>& o, int n, std::size_t outputs, const std::vector<T>& image, const std::vector<T>& weight)
      : dev(on),
        op(o),
        batch(n),
        x(image),
        w(weight),
        packed(o.packed, nan),
        y(outputs, nan),
        work(o.work, nan),
        argmax(o.f.pooled ? outputs : 0) {}
  void forward(const T* bias, bool training = true) {
    spoil_scratch(dev, op.scratch);
    y.assign(y.size(), nan);
    op.forward(dev, batch, x.data(), w.data(), bias, packed, y.data(),
               training && op.f.pooled ? argmax.data() : nullptr);
  }
  void backward(std::vector<T> dy, Gradient<T> dx, Gradient<T> dw, Gradient<T> db) {
    spoil_scratch(dev, op.scratch);
    op.backward(dev, batch, x.data(), w.data(), op.f.act.kind == Activation::none ? nullptr : y.data(),
                op.f.pooled ? argmax.data() : nullptr, dy.data(), dx, dw, db, work);
  }

 private:
  static constexpr T nan = std::numeric_limits<T>::quiet_NaN();
};

template <class T>
void agrees(const Op<T>& op, Kind kind, int batch) {
  const ConvDims& d = op.d;
  const Window& win = d.window;
  const bool bias = batch != 2;
  INFO(d.h << " x " << d.w << " x " << d.c << " -> " << d.o << ", window " << win.kh << " x " << win.kw << ", stride "
           << win.sh << ", padding " << win.ph << ", dilation " << win.dh << ", groups " << d.groups << ", activation "
           << static_cast<int>(op.f.act.kind) << ", pool " << op.f.pooled * op.f.pool.kh
           << (op.f.channels_first ? ", channels first" : "") << ", batch " << batch);
  const PoolDims pool = kernels::ref::pool_of(d, op.f);
  const int in = d.h * d.w * d.c, dense = d.oh() * d.ow() * d.o, out = pool.oh() * pool.ow() * d.o;
  const int taps = win.kh * win.kw, depth = d.c / d.groups * taps, weights = d.o * depth;
  const auto x = values<T>(kind, batch * in, 1), w = values<T>(kind, weights, 2), b = values<T>(kind, d.o, 3),
             dy = values<T>(kind, batch * out, 4), old_dx = values<T>(kind, batch * in, 5),
             old_dw = values<T>(kind, weights, 6), old_db = values<T>(kind, d.o, 7);
  std::vector<double> z(dense), dz(dense), want(batch * out), want_dx(batch * in), want_dw(weights), want_db(d.o);
  std::vector<std::uint8_t> places(batch * out);
  const auto wide_x = widen(x), wide_w = widen(w), wide_b = widen(b), wide_dy = widen(dy);
  for (int n = 0; n < batch; ++n) {
    kernels::ref::conv2d(d, &wide_x[n * in], wide_w.data(), bias ? wide_b.data() : nullptr, z.data());
    kernels::ref::conv2d_epilogue(d, op.f, z.data(), &want[n * out], &places[n * out]);
    kernels::ref::conv2d_epilogue_backward(d, op.f, z.data(), &places[n * out], &wide_dy[n * out], dz.data());
    kernels::ref::conv2d_backward(d, &wide_x[n * in], wide_w.data(), dz.data(), &want_dx[n * in], want_dw.data(),
                                  want_db.data());
  }
  const double off = allowed<T>(kind, depth), off_dx = allowed<T>(kind, d.o / d.groups * taps),
               off_dw = allowed<T>(kind, batch * d.oh() * d.ow());

  SameBits same, same_dx, same_dw, same_db;
  for_each_cpu([&](Cpu& dev) {
    Run<T> run(dev, op, batch, want.size(), x, w);
    run.forward(bias ? b.data() : nullptr, false);
    CHECK(difference(run.y, want, 0, off) == "");
    run.forward(bias ? b.data() : nullptr);
    CHECK(difference(run.y, want, 0, off) == "");
    CHECK(same(dev, run.y));
    if (op.f.pooled) CHECK(run.argmax == places);
    if (!op.backward) return;  // an activation for inference alone

    std::vector<T> dx(x.size(), T(-77)), dw(w.size(), T(-77)), db(b.size(), T(-77));
    run.backward(dy, {dx.data()}, {dw.data()}, {db.data()});
    CHECK(difference(dx, want_dx, 0, off_dx) == "");
    CHECK(difference(dw, want_dw, 0, off_dw) == "");
    CHECK(difference(db, want_db, 0, off_dw) == "");
    CHECK((same_dx(dev, dx) && same_dw(dev, dw) && same_db(dev, db)));

    // Each gradient may be unwanted, and each may be added to what is there.
    auto more_dx = old_dx, more_dw = old_dw, more_db = old_db;
    run.backward(dy, {more_dx.data(), true}, {}, {});
    run.backward(dy, {}, {more_dw.data(), true}, {});
    run.backward(dy, {}, {}, {more_db.data(), true});
    CHECK(difference(more_dx, sum(old_dx, want_dx), 0, off_dx) == "");
    CHECK(difference(more_dw, sum(old_dw, want_dw), 0, off_dw) == "");
    CHECK(difference(more_db, sum(old_db, want_db), 0, off_dw) == "");
  });
}

template <class T, ConvDims D, Fuse F>
void agrees(Kind kind, int batch) {
  agrees(op<T, D, F>(), kind, batch);
}
template <class T, ConvDims D, Fuse F>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees(op<T, D, F>(), Kind::whole, batch);
}

constexpr Window three{3, 3, 1, 1, 1, 1};

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
  agrees<float, ConvDims{1, 37, 1, 3, 1, {4, 1, 3, 1}}, none>();         // tall
  agrees<float, ConvDims{3, 1, 41, 1, 1, {1, 5, 1, 1, 0, 2}}, relu>();   // wide
  agrees<float, ConvDims{3, 10, 11, 5, 1, {2, 3, 3, 4, 0, 1}}, none>();  // a stride beyond the kernel
  agrees<float, ConvDims{3, 4, 4, 3, 1, {3, 3, 1, 1, 4, 3}}, relu>();    // padding beyond the kernel's reach
  agrees<double, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
}

TEST_CASE("conv2d agrees with the reference where Winograd's algorithm fits") {
  agrees<float, ConvDims{16, 6, 8, 16, 1, three}, relu>();
  agrees<float, ConvDims{9, 7, 5, 17, 1, three}, none>();  // tiles reach over the edge
  agrees<float, ConvDims{40, 3, 9, 33, 1, {3, 3, 1, 1, 2, 0}}, leaky>();
  agrees<float, ConvDims{8, 3, 3, 16, 1, {3, 3}}, relu>();  // one pixel
  agrees<float, ConvDims{17, 9, 7, 24, 1, three}, relu_pool2>();
  agrees<float, ConvDims{8, 10, 10, 20, 1, three}, relu_pool3>();
}

TEST_CASE("conv2d agrees with the reference for groups") {
  agrees<float, ConvDims{8, 6, 6, 32, 2, three}, relu>();
  agrees<float, ConvDims{17, 5, 7, 17, 17, three}, none>();  // depthwise
  agrees<float, ConvDims{40, 5, 5, 40, 40, {5, 5, 2, 2, 2, 2}}, relu>();
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
  agrees<double, ConvDims{3, 5, 7, 17, 1, three}, relu_first>();
  agrees<double, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>();
}

TEST_CASE("conv2d agrees with the reference after a pool, for runs of every length") {
  agrees<float, ConvDims{10, 5, 6, 8, 1, three}, relu_pool2>();
  agrees<float, ConvDims{17, 5, 4, 7, 1, three}, relu_pool2>();
  agrees<float, ConvDims{32, 7, 7, 40, 1, three}, relu_pool2_first>();
  agrees<float, ConvDims{40, 4, 4, 17, 1, three}, relu_pool2>();
  agrees<float, ConvDims{1, 12, 12, 6, 1, {5, 5, 1, 1, 2, 2}}, relu_pool2>();
  agrees<float, ConvDims{6, 10, 10, 16, 1, {5, 5}}, relu_pool2>();
  agrees<float, ConvDims{3, 9, 10, 8, 1, {3, 3, 2, 2, 1, 1}}, relu_pool2>();
  agrees<float, ConvDims{9, 9, 8, 8, 1, {3, 3, 1, 1, 1, 1, 2, 2}}, relu_pool2>();
  agrees<float, ConvDims{1, 11, 9, 8, 1, {7, 2, 1, 1}}, pool2>();
  agrees<double, ConvDims{9, 9, 8, 8, 1, {3, 3, 1, 1, 1, 1, 2, 2}}, relu_pool2>();
}

TEST_CASE("conv2d of real numbers agrees within rounding") {
  agrees<float, ConvDims{1, 28, 28, 32, 1, three}, relu_pool2>(Kind::real, 17);
  agrees<float, ConvDims{32, 7, 7, 40, 1, three}, relu_pool2_first>(Kind::real, 33);
  agrees<float, ConvDims{3, 7, 5, 17, 1, three}, tanh_>(Kind::real, 17);
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, tanh_pool2>(Kind::real, 5);
  agrees<double, ConvDims{3, 8, 8, 8, 1, three}, tanh_pool2>(Kind::real, 5);
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, gelu_pool2>(Kind::real, 5);  // forward alone
}

TEST_CASE("conv2d agrees with the reference for images larger than a worker's scratch") {
  agrees<float, ConvDims{32, 16, 15, 24, 1, three}, relu_pool2>(Kind::whole, 3);
  agrees<float, ConvDims{16, 32, 31, 128, 1, three}, relu>(Kind::whole, 2);
  agrees<float, ConvDims{8, 91, 33, 128, 1, {5, 3, 2, 2, 2, 1}}, none_first>(Kind::whole, 2);
  agrees<float, ConvDims{16, 40, 40, 128, 2, three}, relu_pool2_first>(Kind::whole, 1);
  agrees<float, ConvDims{16, 33, 40, 128, 1, {3, 3, 1, 1, 2, 2, 2, 2}}, pool2>(Kind::whole, 1);
}

TEST_CASE("conv2d passes NaN on, through relu and pool too") {
  constexpr ConvDims D{3, 6, 6, 9, 1, three};
  auto x = integers<float>(3 * 6 * 6, 1);
  const auto w = integers<float>(9 * 3 * 9, 2);
  x[(1 * 6 + 1) * 3 + 2] = std::numeric_limits<float>::quiet_NaN();  // pixel (1, 1): seen by pixels (0 .. 2, 0 .. 2)
  for_each_cpu([&](Cpu& dev) {
    const Op<float> pooled = op<float, D, relu_pool2>();
    Run<float> c(dev, pooled, 1, 9 * 9, x, w);
    c.forward(nullptr);
    for (int p = 0; p < 9; ++p)
      for (int o = 0; o < 9; ++o) {
        const bool seen = p / 3 < 2 && p % 3 < 2;
        CHECK(std::isnan(c.y[p * 9 + o]) == seen);
        // The last NaN of the window: the window's last pixel in it.
        if (seen) CHECK(c.argmax[p * 9 + o] == (p / 3 == 0) * 2 + (p % 3 == 0));
      }
  });
}

TEST_CASE("conv2d passes NaN on to every result that saw it, and no further than a tile of Winograd's") {
  constexpr ConvDims D{8, 6, 6, 16, 1, three};
  auto x = integers<float>(6 * 6 * 8, 1);
  const auto w = integers<float>(16 * 8 * 9, 2);
  x[(2 * 6 + 3) * 8 + 5] = std::numeric_limits<float>::quiet_NaN();  // pixel (2, 3): seen by pixels (1 .. 3, 2 .. 4)
  for_each_cpu([&](Cpu& dev) {
    const Op<float> plain = op<float, D, relu>();
    Run<float> c(dev, plain, 1, 6 * 6 * 16, x, w);
    c.forward(nullptr);
    for (int p = 0; p < 36; ++p)
      for (int o = 0; o < 16; ++o) {
        const int row = p / 6, column = p % 6;
        if (row >= 1 && row <= 3 && column >= 2 && column <= 4) CHECK(std::isnan(c.y[p * 16 + o]));
        if (row >= 4 || column <= 1) CHECK(!std::isnan(c.y[p * 16 + o]));  // neighbours
      }
  });
}
