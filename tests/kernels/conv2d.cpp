// Conv2d: output, places of maxima and gradients against the reference, for every window and epilogue.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/conv2d.hpp"

#include <cstring>

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

/// One case on every device. Its memory is of the exact size.
template <class T, ConvDims D, Fuse F>
struct Case {
  static constexpr int cg = D.c / D.groups, kh = D.window.kh, kw = D.window.kw;
  static constexpr PoolDims pool = kernels::ref::pool_of(D, F);
  static constexpr int in = D.h * D.w * D.c, out = pool.oh() * pool.ow() * D.o, weights = D.o * cg * kh * kw;
  using X = In<T, Batch, D.h, D.w, D.c>;
  using W = In<T, D.o, cg, kh, kw>;
  template <class U>
  using Y = Out<U, Batch, pool.oh(), pool.ow(), D.o>;
  using DX = Into<T, Batch, D.h, D.w, D.c>;
  using DW = Into<T, D.o, cg, kh, kw>;
  using DB = Into<T, D.o>;

  Cpu& dev;
  int batch;
  const std::vector<T>&x, &w;
  std::vector<T> packed = std::vector<T>(kernels::conv2d_packed(D)), y = std::vector<T>(batch * out, T(-77)),
                 work = std::vector<T>(kernels::conv2d_workspace(D, F), std::numeric_limits<T>::quiet_NaN());
  std::vector<std::uint8_t> argmax = std::vector<std::uint8_t>(F.pooled ? batch * out : 0);

  void forward(const T* bias, bool training = true) {
    spoil_scratch();
    conv2d_prepare(dev, Conv<D>{}, W(w.data()), Span<T>{packed.data(), packed.size()});
    conv2d_forward(dev, Conv<D>{}, X(x.data(), batch), Span<const T>{packed.data(), packed.size()}, In<T, D.o>(bias),
                   Epilogue<F>{}, Y<T>(y.data(), batch),
                   Y<std::uint8_t>(training && F.pooled ? argmax.data() : nullptr, batch));
  }
  void backward(std::vector<T> dy, DX dx, DW dw, DB db) {
    spoil_scratch();
    const bool needs_y = F.act.kind != Activation::none;
    if constexpr (F.act.from_output())
      conv2d_backward(dev, Conv<D>{}, X(x.data(), batch), W(w.data()), Y<const T>(needs_y ? y.data() : nullptr, batch),
                      Y<const std::uint8_t>(F.pooled ? argmax.data() : nullptr, batch), Epilogue<F>{},
                      Y<T>(dy.data(), batch), dx, dw, db, Span<T>{work.data(), work.size()});
  }

 private:
  /// NaN everywhere: a kernel that takes scratch for zeros is found out.
  void spoil_scratch() {
    constexpr std::size_t bytes = kernels::conv2d_scratch<T>(D, F);
    dev.reserve_scratch(bytes);
    for (int worker = 0; worker < dev.threads(); ++worker) std::memset(dev.scratch(worker), 0xff, bytes);
  }
};

template <class T, ConvDims D, Fuse F>
void agrees(Kind kind, int batch) {
  using C = Case<T, D, F>;
  const bool bias = batch != 2;
  INFO(D.h << " x " << D.w << " x " << D.c << " -> " << D.o << ", window " << C::kh << " x " << C::kw << ", stride "
           << D.window.sh << ", padding " << D.window.ph << ", dilation " << D.window.dh << ", groups " << D.groups
           << ", activation " << static_cast<int>(F.act.kind) << ", pool " << F.pooled * F.pool.kh
           << (F.channels_first ? ", channels first" : "") << ", batch " << batch);
  constexpr int dense = D.oh() * D.ow() * D.o;
  const auto x = values<T>(kind, batch * C::in, 1), w = values<T>(kind, C::weights, 2), b = values<T>(kind, D.o, 3),
             dy = values<T>(kind, batch * C::out, 4), old_dx = values<T>(kind, batch * C::in, 5),
             old_dw = values<T>(kind, C::weights, 6), old_db = values<T>(kind, D.o, 7);
  std::vector<double> z(dense), dz(dense), want(batch * C::out), want_dx(batch * C::in), want_dw(C::weights),
      want_db(D.o);
  std::vector<std::uint8_t> places(batch * C::out);
  const auto wide_x = widen(x), wide_w = widen(w), wide_b = widen(b), wide_dy = widen(dy);
  for (int n = 0; n < batch; ++n) {
    const double* const image = &wide_x[n * C::in];
    kernels::ref::conv2d(D, image, wide_w.data(), bias ? wide_b.data() : nullptr, z.data());
    kernels::ref::conv2d_epilogue(D, F, z.data(), &want[n * C::out], &places[n * C::out]);
    kernels::ref::conv2d_epilogue_backward(D, F, z.data(), &places[n * C::out], &wide_dy[n * C::out], dz.data());
    kernels::ref::conv2d_backward(D, image, wide_w.data(), dz.data(), &want_dx[n * C::in], want_dw.data(),
                                  want_db.data());
  }
  const double off = allowed<T>(kind, C::cg * C::kh * C::kw), off_dx = allowed<T>(kind, D.o / D.groups * C::kh * C::kw),
               off_dw = allowed<T>(kind, batch * D.oh() * D.ow());

  SameBits same, same_dx, same_dw, same_db;
  for_each_cpu([&](Cpu& dev) {
    C c{dev, batch, x, w};
    c.forward(bias ? b.data() : nullptr, false);
    CHECK(difference(c.y, want, 0, off) == "");
    c.y.assign(c.y.size(), T(-77));
    c.forward(bias ? b.data() : nullptr);
    CHECK(difference(c.y, want, 0, off) == "");
    CHECK(same(dev, c.y));
    if (F.pooled) CHECK(c.argmax == places);

    if (!F.act.from_output()) return;  // for inference alone
    std::vector<T> dx(x.size(), T(-77)), dw(w.size(), T(-77)), db(b.size(), T(-77));
    c.backward(dy, typename C::DX(dx.data(), batch), typename C::DW(dw.data()), typename C::DB(db.data()));
    CHECK(difference(dx, want_dx, 0, off_dx) == "");
    CHECK(difference(dw, want_dw, 0, off_dw) == "");
    CHECK(difference(db, want_db, 0, off_dw) == "");
    CHECK((same_dx(dev, dx) && same_dw(dev, dw) && same_db(dev, db)));

    // Each gradient may be unwanted, and each may be added to what is there.
    auto more_dx = old_dx, more_dw = old_dw, more_db = old_db;
    c.backward(dy, typename C::DX(more_dx.data(), batch, true), {}, {});
    c.backward(dy, {}, typename C::DW(more_dw.data(), 1, true), {});
    c.backward(dy, {}, {}, typename C::DB(more_db.data(), 1, true));
    CHECK(difference(more_dx, sum(old_dx, want_dx), 0, off_dx) == "");
    CHECK(difference(more_dw, sum(old_dw, want_dw), 0, off_dw) == "");
    CHECK(difference(more_db, sum(old_db, want_db), 0, off_dw) == "");
  });
}

template <class T, ConvDims D, Fuse F>
void agrees() {
  for (const int batch : {1, 2, 17}) agrees<T, D, F>(Kind::whole, batch);
}

constexpr Window three{3, 3, 1, 1, 1, 1};

}  // namespace

TEST_CASE("conv2d agrees with the reference", "[smoke]") {
  agrees<float, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>();       // the pool does not divide the image
  agrees<float, ConvDims{3, 7, 5, 17, 1, three}, relu>();
  agrees<double, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>();
  agrees<double, ConvDims{3, 7, 5, 17, 1, three}, relu>();
}

TEST_CASE("conv2d agrees with the reference for every kind of window") {
  agrees<float, ConvDims{1, 1, 1, 1, 1, {}}, none>();
  agrees<float, ConvDims{16, 3, 7, 16, 1, {}}, relu>();                // 1 x 1
  agrees<float, ConvDims{3, 11, 7, 17, 1, {5, 5, 2, 2, 2, 2}}, none>();
  agrees<float, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
  agrees<float, ConvDims{17, 6, 8, 8, 1, {3, 3, 1, 2, 2, 1, 2, 3}}, relu>();
  agrees<float, ConvDims{1, 37, 1, 3, 1, {4, 1, 3, 1}}, none>();       // tall
  agrees<float, ConvDims{3, 1, 41, 1, 1, {1, 5, 1, 1, 0, 2}}, relu>();  // wide
  agrees<float, ConvDims{3, 10, 11, 5, 1, {2, 3, 3, 4, 0, 1}}, none>();  // a stride beyond the kernel
  agrees<float, ConvDims{3, 4, 4, 3, 1, {3, 3, 1, 1, 4, 3}}, relu>();    // padding beyond the kernel's reach
  agrees<double, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
}

TEST_CASE("conv2d agrees with the reference for groups") {
  agrees<float, ConvDims{8, 6, 6, 32, 2, three}, relu>();
  agrees<float, ConvDims{17, 5, 7, 17, 17, three}, none>();            // depthwise
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
    Case<float, D, relu_pool2> c{dev, 1, x, w};
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
