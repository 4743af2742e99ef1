// Conv2d on the GPU: output, places of maxima and gradients against the reference, for every window, epilogue and math.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/conv2d.cuh"

#include <algorithm>

#include "cuda/support.hpp"
#include "tenon/ref/conv2d.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr Act relu_{Activation::relu};
constexpr Fuse none{}, relu{relu_}, leaky{{Activation::leaky_relu, 1, 4}}, tanh_{{Activation::tanh}},
    none_first{{}, false, {}, true}, relu_first{relu_, false, {}, true}, pool2{{}, true, {2, 2, 2, 2}},
    relu_pool2{relu_, true, {2, 2, 2, 2}}, relu_pool3{relu_, true, {3, 3, 3, 3}},
    relu_pool2_first{relu_, true, {2, 2, 2, 2}, true}, leaky_pool23{{Activation::leaky_relu, 1, 4}, true, {2, 3, 2, 3}},
    tanh_pool2{{Activation::tanh}, true, {2, 2, 2, 2}}, gelu_pool2{{Activation::gelu}, true, {2, 2, 2, 2}},
    relu_pool7{relu_, true, {7, 7, 7, 7}}, relu_pool9{relu_, true, {9, 8, 9, 8}},
    relu_pool9_first{relu_, true, {9, 8, 9, 8}, true};

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
  std::size_t packed;
  void (*forward)(int batch, const T* x, const T* w, const T* b, Span<T> packed, T* y, std::uint8_t* argmax);
  void (*backward)(int batch, const T* x, const T* w, const T* y, const std::uint8_t* argmax, T* dy, Gradient<T> dx,
                   Gradient<T> dw, Gradient<T> db);
};

template <class T, ConvDims D, Fuse F>
constexpr Op<T> op() {
  constexpr int cg = D.c / D.groups, kh = D.window.kh, kw = D.window.kw;
  constexpr int oh = kernels::ref::pool_of(D, F).oh(), ow = kernels::ref::pool_of(D, F).ow();
  using X = In<T, Batch, D.h, D.w, D.c>;
  using W = In<T, D.o, cg, kh, kw>;
  using Y = Out<T, Batch, oh, ow, D.o>;
  using Places = Out<std::uint8_t, Batch, oh, ow, D.o>;
  using YIn = In<T, Batch, oh, ow, D.o>;
  using PlacesIn = In<std::uint8_t, Batch, oh, ow, D.o>;
  Op<T> op{D, F, kernels::conv2d_packed(D), {}, {}};
  op.forward = [](int batch, const T* x, const T* w, const T* b, Span<T> packed, T* y, std::uint8_t* argmax) {
    conv2d_prepare(cuda(), Conv<D>{}, W(w), packed);
    conv2d_forward(cuda(), Conv<D>{}, X(x, batch), Span<const T>{packed.data, packed.size}, In<T, D.o>(b),
                   Epilogue<F>{}, Y(y, batch), Places(argmax, batch));
  };
  if constexpr (F.act.from_output())
    op.backward = [](int batch, const T* x, const T* w, const T* y, const std::uint8_t* argmax, T* dy, Gradient<T> dx,
                     Gradient<T> dw, Gradient<T> db) {
      conv2d_backward(cuda(), Conv<D>{}, X(x, batch), W(w), YIn(y, batch), PlacesIn(argmax, batch), Epilogue<F>{},
                      Y(dy, batch), Into<T, Batch, D.h, D.w, D.c>(dx.data, batch, dx.add),
                      Into<T, D.o, cg, kh, kw>(dw.data, 1, dw.add), Into<T, D.o>(db.data, 1, db.add), Span<T>{});
    };
  return op;
}

/// Sets how products are computed, for a scope.
class With {
 public:
  explicit With(CudaMath m) : before_(cuda().math) { cuda().math = m; }
  ~With() { cuda().math = before_; }

 private:
  CudaMath before_;
};

constexpr CudaMath maths[] = {CudaMath::fp32, CudaMath::tf32, CudaMath::bf16};

/// How far a sum of k products of numbers up to 1 may be off. A factor is off by at most 2^-11 (tf32) or 2^-8 (bf16) of
/// itself, and errors of k products add up as k at worst, as sqrt(k) here.
template <class T>
double bound(Kind kind, int k) {
  const double factor = cuda().math == CudaMath::fp32 || sizeof(T) == 8 ? 0
                        : cuda().math == CudaMath::tf32                 ? 0x1p-10
                                                                        : 0x1p-7;
  return allowed<T>(kind, k) + (kind == Kind::whole ? 0 : factor * std::sqrt(k));
}

template <class T>
void agrees(const Op<T>& op, Kind kind, int batch, std::size_t offset = 0) {
  const ConvDims& d = op.d;
  const Window& win = d.window;
  const bool bias = batch != 2;
  INFO(d.h << " x " << d.w << " x " << d.c << " -> " << d.o << ", window " << win.kh << " x " << win.kw << ", stride "
           << win.sh << ", padding " << win.ph << ", dilation " << win.dh << ", groups " << d.groups << ", activation "
           << static_cast<int>(op.f.act.kind) << ", pool " << op.f.pooled * op.f.pool.kh
           << (op.f.channels_first ? ", channels first" : "") << ", batch " << batch << ", math "
           << static_cast<int>(cuda().math));
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
    for (std::size_t i = 0; i < n; ++i) {
      kernels::ref::conv2d_epilogue_backward(d, op.f, &z[i * dense], &of[i * out], &wide_dy[i * out], dz.data());
      kernels::ref::conv2d_backward(d, &wide_x[i * in], wide_w.data(), dz.data(), &want_dx[i * in], want_dw.data(),
                                    want_db.data());
    }
  };
  const double off = bound<T>(kind, depth), off_dx = bound<T>(kind, d.o / d.groups * taps),
               off_dw = bound<T>(kind, batch * d.oh() * d.ow());
  const bool exact_places = kind == Kind::whole || cuda().math == CudaMath::fp32;

  OnDevice<T> dev_x(x, offset), dev_w(w, offset), dev_b(b), packed(op.packed, T(-77), offset), y(n * out),
      dev_dy(dy, offset);
  OnDevice<std::uint8_t> argmax(op.f.pooled ? n * out : 0, 77);
  const T* const dev_bias = bias ? dev_b.data() : nullptr;
  op.forward(batch, dev_x.data(), dev_w.data(), dev_bias, packed.span(), y.data(), nullptr);
  CHECK(difference(y.read(), want, 0, off) == "");
  upload(cuda(), std::vector<T>(n * out, T(-77)).data(), y.data(), n * out);
  op.forward(batch, dev_x.data(), dev_w.data(), dev_bias, packed.span(), y.data(),
             op.f.pooled ? argmax.data() : nullptr);
  CHECK(difference(y.read(), want, 0, off) == "");
  if (op.f.pooled && exact_places) CHECK(argmax.read() == places);
  CHECK((y.intact() && argmax.intact() && packed.intact()));
  if (!op.backward) return;  // an activation for inference alone

  // From what forward has found: a rounding moves a maximum.
  if (op.f.pooled) places = argmax.read();
  backward_of(places);
  OnDevice<T> dx(x.size()), dw(w.size()), db(b.size());
  const auto backward = [&](Gradient<T> to_dx, Gradient<T> to_dw, Gradient<T> to_db) {
    upload(cuda(), dy.data(), dev_dy.data(), dy.size());
    op.backward(batch, dev_x.data(), dev_w.data(), op.f.act.kind == Activation::none ? nullptr : y.data(),
                op.f.pooled ? argmax.data() : nullptr, dev_dy.data(), to_dx, to_dw, to_db);
  };
  backward({dx.data()}, {dw.data()}, {db.data()});
  CHECK(difference(dx.read(), want_dx, 0, off_dx) == "");
  CHECK(difference(dw.read(), want_dw, 0, off_dw) == "");
  CHECK(difference(db.read(), want_db, 0, off_dw) == "");
  CHECK((dx.intact() && dw.intact() && db.intact() && dev_dy.intact() && dev_x.intact()));

  backward({}, {dw.data()}, {db.data()});  // as of a network's first layer
  CHECK(difference(dw.read(), want_dw, 0, off_dw) == "");
  CHECK(difference(db.read(), want_db, 0, off_dw) == "");

  // Each gradient may be unwanted, and each may be added to what is there.
  upload(cuda(), old_dx.data(), dx.data(), old_dx.size());
  upload(cuda(), old_dw.data(), dw.data(), old_dw.size());
  upload(cuda(), old_db.data(), db.data(), old_db.size());
  backward({dx.data(), true}, {}, {});
  backward({}, {dw.data(), true}, {});
  backward({}, {}, {db.data(), true});
  CHECK(difference(dx.read(), sum(old_dx, want_dx), 0, off_dx) == "");
  CHECK(difference(dw.read(), sum(old_dw, want_dw), 0, off_dw) == "");
  CHECK(difference(db.read(), sum(old_db, want_db), 0, off_dw) == "");
}

template <class T, ConvDims D, Fuse F>
void agrees(Kind kind, int batch) {
  agrees(op<T, D, F>(), kind, batch);
}
template <class T, ConvDims D, Fuse F>
void agrees() {
  for (const int batch : {1, 2, 5}) agrees(op<T, D, F>(), Kind::whole, batch);
}

constexpr Window three{3, 3, 1, 1, 1, 1};

}  // namespace

TEST_CASE("cuda: conv2d agrees with the reference") {
  agrees<float, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>();  // the pool does not divide the image
  agrees<float, ConvDims{3, 7, 5, 17, 1, three}, relu>();
  agrees<double, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>();
  agrees<double, ConvDims{3, 7, 5, 17, 1, three}, relu>();
}

TEST_CASE("cuda: conv2d agrees with the reference for every kind of window") {
  agrees<float, ConvDims{1, 1, 1, 1, 1, {}}, none>();
  agrees<float, ConvDims{16, 3, 7, 16, 1, {}}, relu>();  // 1 x 1
  agrees<float, ConvDims{3, 11, 7, 17, 1, {5, 5, 2, 2, 2, 2}}, none>();
  agrees<float, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
  agrees<float, ConvDims{17, 6, 8, 8, 1, {3, 3, 1, 2, 2, 1, 2, 3}}, relu>();
  agrees<float, ConvDims{1, 37, 1, 3, 1, {4, 1, 3, 1}}, none>();              // tall
  agrees<float, ConvDims{3, 1, 41, 1, 1, {1, 5, 1, 1, 0, 2}}, relu>();        // wide
  agrees<float, ConvDims{3, 10, 11, 5, 1, {2, 3, 3, 4, 0, 1}}, none>();       // a stride beyond the kernel
  agrees<float, ConvDims{3, 4, 4, 3, 1, {3, 3, 1, 1, 4, 3}}, relu>();         // padding beyond the kernel's reach
  agrees<float, ConvDims{4, 9, 10, 8, 1, {3, 4, 4, 6, 2, 1, 2, 4}}, none>();  // stride and dilation share a factor
  agrees<double, ConvDims{8, 7, 9, 16, 1, {2, 3, 1, 1, 0, 1, 2, 1}}, leaky>();
}

TEST_CASE("cuda: conv2d agrees with the reference for groups") {
  agrees<float, ConvDims{8, 6, 6, 32, 2, three}, relu>();
  agrees<float, ConvDims{17, 5, 7, 17, 17, three}, none>();  // depthwise
  agrees<float, ConvDims{3, 5, 7, 6, 3, {3, 3, 2, 2, 1, 1}}, relu_pool2_first>();
  agrees<float, ConvDims{6, 7, 7, 3, 3, {3, 3, 1, 1, 2, 2, 2, 2}}, pool2>();
  agrees<double, ConvDims{8, 6, 6, 32, 2, three}, relu_pool2>();
}

TEST_CASE("cuda: conv2d agrees with the reference for every epilogue") {
  agrees<float, ConvDims{16, 6, 6, 16, 1, three}, none_first>();
  agrees<float, ConvDims{3, 5, 7, 17, 1, three}, relu_first>();
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, pool2>();
  agrees<float, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>();
  agrees<float, ConvDims{5, 11, 10, 7, 1, three}, relu_pool3>();
  agrees<float, ConvDims{3, 8, 13, 9, 1, {}}, leaky_pool23>();
  agrees<float, ConvDims{8, 14, 15, 16, 1, three}, relu_pool7>(Kind::whole, 2);
  agrees<float, ConvDims{4, 10, 9, 5, 1, {}}, relu_pool9>();  // a window beyond a tile
  agrees<float, ConvDims{4, 10, 17, 5, 1, {}}, relu_pool9_first>();
  agrees<double, ConvDims{3, 5, 7, 17, 1, three}, relu_first>();
  agrees<double, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>();
}

TEST_CASE("cuda: conv2d agrees with the reference for the first layers of networks") {
  agrees<float, ConvDims{1, 28, 28, 32, 1, three}, relu_pool2>(Kind::whole, 3);
  agrees<float, ConvDims{1, 12, 12, 6, 1, {5, 5, 1, 1, 2, 2}}, relu_pool2>();
  agrees<float, ConvDims{3, 9, 10, 8, 1, {3, 3, 2, 2, 1, 1}}, relu_pool2>();
  agrees<float, ConvDims{3, 9, 10, 16, 1, three}, none>();
  agrees<float, ConvDims{2, 9, 13, 40, 1, {2, 3, 1, 1, 0, 2, 2, 1}}, relu_pool3>();
  agrees<float, ConvDims{1, 11, 9, 8, 1, {7, 2, 1, 1}}, pool2>();
  agrees<double, ConvDims{3, 9, 10, 8, 1, {3, 3, 2, 2, 1, 1}}, relu_pool2>();
}

TEST_CASE("cuda: conv2d of whole numbers is exact on tensor cores") {
  for (const CudaMath m : maths) {
    const With with(m);
    agrees<float, ConvDims{16, 6, 7, 16, 1, three}, relu>(Kind::whole, 3);
    agrees<float, ConvDims{8, 7, 5, 40, 1, three}, relu_pool2_first>(Kind::whole, 5);
    agrees<float, ConvDims{32, 14, 14, 64, 1, three}, relu_pool2_first>(Kind::whole, 2);
    agrees<float, ConvDims{16, 8, 8, 32, 1, {3, 3, 2, 2, 1, 1}}, none>(Kind::whole, 5);
    agrees<float, ConvDims{68, 5, 4, 132, 1, three}, relu>(Kind::whole, 2);  // tiles and a little more
    agrees<float, ConvDims{16, 8, 7, 32, 1, {1, 1, 2, 2}}, none>(Kind::whole, 5);
    agrees<float, ConvDims{24, 5, 5, 96, 2, {3, 3, 1, 1, 2, 2, 2, 2}}, leaky>(Kind::whole, 3);
  }
}

TEST_CASE("cuda: conv2d of real numbers agrees within rounding") {
  for (const CudaMath m : maths) {
    const With with(m);
    agrees<float, ConvDims{32, 7, 7, 40, 1, three}, relu_pool2_first>(Kind::real, 5);
    agrees<float, ConvDims{16, 7, 5, 16, 1, three}, tanh_>(Kind::real, 3);
  }
  agrees<float, ConvDims{1, 28, 28, 32, 1, three}, relu_pool2>(Kind::real, 3);
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, tanh_pool2>(Kind::real, 5);
  agrees<double, ConvDims{3, 8, 8, 8, 1, three}, tanh_pool2>(Kind::real, 5);
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, gelu_pool2>(Kind::real, 5);  // forward alone
}

TEST_CASE("cuda: conv2d agrees with the reference for pointers that are not aligned") {
  agrees(op<float, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2>(), Kind::whole, 3, 1);
  agrees(op<float, ConvDims{8, 7, 5, 16, 1, three}, relu_pool2>(), Kind::whole, 3, 1);
  agrees(op<double, ConvDims{8, 7, 5, 16, 1, three}, relu>(), Kind::whole, 3, 1);
}

TEMPLATE_TEST_CASE("cuda: conv2d gives the same bits for every order of threads and blocks", "", float, double) {
  using T = TestType;
  constexpr ConvDims D{8, 9, 8, 24, 1, three};
  const Op<T> o = op<T, D, relu_pool2_first>();
  const std::size_t batch = 15, out = batch * 4 * 4 * 24, in = batch * 9 * 8 * 8, weights = 24 * 8 * 9;
  OnDevice<T> x(numbers<T>(in, 1)), w(numbers<T>(weights, 2)), b(numbers<T>(24, 3)), packed(o.packed), y(out), dy(out),
      dx(in), dw(weights), db(24);
  OnDevice<std::uint8_t> places(out);
  const auto from = numbers<T>(out, 4);
  for (const CudaMath m : maths) {
    const With with(m);
    CHECK(same_bits_always([&] {
      upload(cuda(), from.data(), dy.data(), out);
      o.forward(batch, x.data(), w.data(), b.data(), packed.span(), y.data(), places.data());
      o.backward(batch, x.data(), w.data(), y.data(), places.data(), dy.data(), {dx.data()}, {dw.data()}, {db.data()});
      std::vector<T> all = y.read();
      for (const OnDevice<T>* v : {&dx, &dw, &db})
        for (const T value : v->read()) all.push_back(value);
      for (const std::uint8_t place : places.read()) all.push_back(place);
      return all;
    }));
  }
}

TEST_CASE("cuda: conv2d wants no more scratch than was measured with the largest batch") {
  kernels::CudaState& state = cuda().state();
  const auto check = [&](const Op<float>& o, std::size_t in, std::size_t out, std::size_t weights) {
    OnDevice<float> x(9 * in, 0.0f), y(9 * out, 0.0f), dy(9 * out, 0.0f), dx(9 * in), w(weights, 0.0f), dw(weights),
        db(static_cast<std::size_t>(o.d.o)), packed(o.packed);
    OnDevice<std::uint8_t> places(9 * out, 0);
    const auto step = [&](int batch) {
      o.forward(batch, x.data(), w.data(), nullptr, packed.span(), y.data(), places.data());
      o.backward(batch, x.data(), w.data(), y.data(), places.data(), dy.data(), {dx.data()}, {dw.data()}, {db.data()});
    };
    wait(cuda());
    state.scratch_most = 0;
    state.measuring = true;
    step(9);
    state.measuring = false;
    const std::size_t bytes = state.scratch_bytes;
    state.scratch_fixed = true;
    state.scratch_bytes = std::min(bytes, state.scratch_most);
    for (int batch = 1; batch <= 9; ++batch) CHECK_NOTHROW(step(batch));
    state.scratch_fixed = false;
    state.scratch_bytes = bytes;
    wait(cuda());
  };
  check(op<float, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>(), 7 * 5 * 8, 3 * 2 * 17, 17 * 8 * 9);
  check(op<float, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>(), 9 * 11, 4 * 5 * 32, 32 * 9);
  check(op<float, ConvDims{16, 8, 8, 32, 1, {3, 3, 2, 2, 1, 1}}, none>(), 8 * 8 * 16, 4 * 4 * 32, 32 * 16 * 9);
}

TEST_CASE("cuda: conv2d passes NaN on, through relu and pool too") {
  // The first takes the direct way, the second goes by tiles.
  const auto check = []<ConvDims D>(Conv<D>) {
    auto x = integers<float>(D.c * 6 * 6, 1);
    x[(1 * 6 + 1) * D.c + 2] = std::numeric_limits<float>::quiet_NaN();  // pixel (1, 1): seen by (0 .. 2, 0 .. 2)
    const Op<float> o = op<float, D, relu_pool2>();
    OnDevice<float> dev_x(x), w(integers<float>(9 * D.c * 9, 2)), packed(o.packed), y(9 * 9);
    OnDevice<std::uint8_t> places(9 * 9);
    o.forward(1, dev_x.data(), w.data(), nullptr, packed.span(), y.data(), places.data());
    const auto got = y.read();
    const auto at = places.read();
    for (std::size_t p = 0; p < 9; ++p)
      for (std::size_t c = 0; c < 9; ++c) {
        const bool seen = p / 3 < 2 && p % 3 < 2;
        CHECK(std::isnan(got[p * 9 + c]) == seen);
        // The last NaN of the window: the window's last pixel in it.
        if (seen) CHECK(at[p * 9 + c] == (p / 3 == 0) * 2 + (p % 3 == 0));
      }
  };
  check(Conv<ConvDims{3, 6, 6, 9, 1, three}>{});
  check(Conv<ConvDims{8, 6, 6, 9, 1, three}>{});
}
