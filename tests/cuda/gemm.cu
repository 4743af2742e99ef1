// Products: exact, in every order of operands, around a tile and a stage, with K cut among blocks and not; and what tf32
// and bf16 round.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/gemm.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/activation.hpp"

using namespace tenon;
using namespace tenon::tests;
using kernels::cuda::Product;

namespace {

constexpr Act none{}, relu{Activation::relu}, tanh_{Activation::tanh};

struct Size {
  int m, n, k;
};

/// Operands with `gap` values more between rows than needed, the first `offset` values off its alignment.
template <class T, bool KA, bool KB>
struct Operands {
  int m, n, k, a_ld, b_ld, c_ld;
  std::vector<T> a, b, bias, old;
  OnDevice<T> a_, b_, bias_, c_;

  Operands(Size s, Kind kind, int gap, std::size_t offset)
      : m(s.m),
        n(s.n),
        k(s.k),
        a_ld((KA ? k : m) + gap),
        b_ld((KB ? k : n) + gap),
        c_ld(n + gap),
        a(values<T>(kind, size(KA ? m : k, a_ld, KA ? k : m), 1)),
        b(values<T>(kind, size(KB ? n : k, b_ld, KB ? k : n), 2)),
        bias(values<T>(kind, static_cast<std::size_t>(n), 3)),
        old(values<T>(kind, size(m, c_ld, n), 4)),
        a_(a, offset),
        b_(b, offset),
        bias_(bias),
        c_(old) {}
  static std::size_t size(int rows, int ld, int cols) { return static_cast<std::size_t>((rows - 1) * ld + cols); }

  Product<T> product(bool with_bias, bool add) {
    Product<T> p;
    p.m = m, p.n = n, p.k = k;
    p.a = a_.data(), p.a_ld = a_ld;
    p.b = b_.data(), p.b_ld = b_ld;
    p.c = c_.data(), p.c_ld = c_ld;
    p.bias = with_bias ? bias_.data() : nullptr;
    p.add = add;
    return p;
  }
  /// What C must be, `round` being done to factors; what lies between the rows is as it was.
  template <class Round>
  std::vector<double> want(Act act, bool with_bias, bool add, Round round) const {
    std::vector<double> w = widen(old);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        double s = with_bias ? static_cast<double>(bias[static_cast<std::size_t>(j)]) : 0;
        for (int l = 0; l < k; ++l)
          s += round(a[static_cast<std::size_t>(KA ? i * a_ld + l : l * a_ld + i)]) *
               round(b[static_cast<std::size_t>(KB ? j * b_ld + l : l * b_ld + j)]);
        double& c = w[static_cast<std::size_t>(i * c_ld + j)];
        c = kernels::ref::activation(act, s) + (add ? c : 0);
      }
    return w;
  }
  std::vector<double> want(Act act, bool with_bias, bool add) const {
    return want(act, with_bias, add, [](T v) { return static_cast<double>(v); });
  }
  void reset() { upload(cuda(), old.data(), c_.data(), old.size()); }
  bool intact() const { return a_.intact() && b_.intact() && bias_.intact() && c_.intact(); }
};

/// The device with another kind of numbers.
Cuda with(CudaMath math) {
  Cuda dev = cuda();
  dev.math = math;
  return dev;
}
constexpr CudaMath all_math[] = {CudaMath::fp32, CudaMath::tf32, CudaMath::bf16};

template <Act A, bool KA, bool KB, class T>
void agrees(CudaMath math, Size s, int gap = 0, std::size_t offset = 0, bool every_order = false) {
  INFO("math " << static_cast<int>(math) << ", by k " << KA << KB << ", M " << s.m << " N " << s.n << " K " << s.k
               << ", gap " << gap << ", offset " << offset);
  using F = kernels::cuda::Activate<A>;
  const Cuda dev = with(math);
  Operands<T, KA, KB> o(s, Kind::whole, gap, offset);
  const auto multiply = [&] {
    o.reset();
    kernels::cuda::gemm<F, KA, KB>(dev, o.product(true, false));
    return o.c_.read();
  };
  if (every_order) CHECK(same_bits_always(multiply));
  CHECK(difference(multiply(), o.want(A, true, false), 0, A.kind == Activation::tanh ? 1e-6 : 0) == "");
  o.reset();
  kernels::cuda::gemm<F, KA, KB>(dev, o.product(false, true));
  CHECK(difference(o.c_.read(), o.want(A, false, true), 0, A.kind == Activation::tanh ? 1e-6 : 0) == "");
  CHECK(o.intact());
}

/// The three orders that a layer needs.
template <class T>
void all_orders(CudaMath math, Size s, int gap = 0, std::size_t offset = 0, bool every_order = false) {
  agrees<relu, true, true, T>(math, s, gap, offset, every_order);
  agrees<none, true, false, T>(math, s, gap, offset, every_order);
  agrees<none, false, false, T>(math, s, gap, offset, every_order);
}

}  // namespace

TEST_CASE("cuda: gemm is exact for every size around a tile and a stage") {
  for (const CudaMath math : all_math) {
    for (const Size s : {Size{1, 1, 1}, {3, 5, 7}, {31, 33, 32}, {32, 32, 33}, {33, 31, 64}, {17, 65, 95}})
      all_orders<float>(math, s);
    all_orders<float>(math, {32, 36, 100}, 0, 0, true);  // 16 bytes at once
    all_orders<float>(math, {40, 36, 44}, 4);
    all_orders<float>(math, {33, 36, 40}, 4, 1);  // not aligned
    all_orders<float>(math, {5, 36, 30}, 3);
  }
}

TEST_CASE("cuda: gemm is exact where K is cut among blocks") {
  for (const CudaMath math : all_math) {
    all_orders<float>(math, {5, 40, 512}, 0, 0, true);
    all_orders<float>(math, {33, 10, 801});
    agrees<tanh_, true, true, float>(math, {1, 10, 784});
  }
  all_orders<double>(CudaMath::fp32, {5, 34, 545}, 0, 0, true);
}

TEST_CASE("cuda: gemm is exact for large tiles") {
  for (const CudaMath math : all_math) {
    agrees<relu, true, true, float>(math, {64 * 7 + 3, 64 * 7 + 6, 37});
    agrees<none, false, false, float>(math, {64 * 7 + 4, 64 * 7 + 1, 40});
    agrees<none, true, false, float>(math, {5, 64 * 63 + 1, 45}, 0, 0, math == CudaMath::fp32);
  }
  agrees<none, true, true, float>(CudaMath::fp32, {20, 64 * 63 + 1, 515});  // and cut
}

TEST_CASE("cuda: gemm in double") {
  for (const CudaMath math : all_math) {  // which says nothing about double
    for (const Size s : {Size{1, 1, 1}, {3, 5, 7}, {33, 34, 38}}) all_orders<double>(math, s);
    all_orders<double>(math, {34, 36, 38}, 2, 0, true);
    all_orders<double>(math, {34, 36, 38}, 2, 1);
  }
  Operands<double, true, true> o({9, 11, 70}, Kind::real, 0, 0);
  kernels::cuda::gemm<kernels::cuda::Activate<none>, true, true>(with(CudaMath::bf16), o.product(true, false));
  CHECK(difference(o.c_.read(), o.want(none, true, false), 0, allowed<double>(Kind::real, 70)) == "");
}

TEST_CASE("cuda: gemm of real numbers rounds factors as its math says, and nothing else") {
  const auto rounded = [](int bits, bool ties_away) {
    return [=](float v) {
      int e;
      const double m = std::frexp(static_cast<double>(v), &e), unit = std::ldexp(1.0, bits + 1);
      return std::ldexp((ties_away ? std::round(m * unit) : std::nearbyint(m * unit)) / unit, e);
    };
  };
  const Size s{20, 40, 200};
  Operands<float, true, true> o(s, Kind::real, 0, 0);
  const double off = allowed<float>(Kind::real, s.k);
  using F = kernels::cuda::Activate<none>;
  const auto got = [&](CudaMath math) {
    kernels::cuda::gemm<F, true, true>(with(math), o.product(true, false));
    return o.c_.read();
  };
  CHECK(difference(got(CudaMath::fp32), o.want(none, true, false), 0, off) == "");
  CHECK(difference(got(CudaMath::tf32), o.want(none, true, false, rounded(10, true)), 0, off) == "");
  CHECK(difference(got(CudaMath::bf16), o.want(none, true, false, rounded(7, false)), 0, off) == "");
}

TEST_CASE("cuda: gemm_pair does two products, or one, in one launch") {
  for (const CudaMath math : all_math)
    for (const Size s : {Size{10, 36, 33}, {40, 20, 1100}}) {
      Operands<float, false, false> p(s, Kind::whole, 0, 0);
      Operands<float, true, false> q({s.k > 1000 ? 7 : s.k, s.n, s.k > 1000 ? 515 : s.m}, Kind::whole, 0, 0);
      const Cuda dev = with(math);
      const auto both = [&] {
        p.reset(), q.reset();
        kernels::cuda::gemm_pair(dev, p.product(false, false), q.product(false, true));
        auto c = p.c_.read();
        const auto more = q.c_.read();
        c.insert(c.end(), more.begin(), more.end());
        return c;
      };
      if (math == CudaMath::fp32)
        CHECK(same_bits_always(both));
      else
        both();
      CHECK(difference(p.c_.read(), p.want(none, false, false), 0) == "");
      CHECK(difference(q.c_.read(), q.want(none, false, true), 0) == "");
      Product<float> nothing;
      p.reset(), q.reset();
      kernels::cuda::gemm_pair(dev, p.product(false, true), nothing);
      kernels::cuda::gemm_pair(dev, nothing, nothing);
      CHECK(difference(p.c_.read(), p.want(none, false, true), 0) == "");
      CHECK(q.c_.read() == q.old);
      CHECK((p.intact() && q.intact()));
    }
  std::vector<unsigned> tickets(kernels::cuda_tickets);
  download(cuda(), cuda().state().tickets, tickets.data(), tickets.size());
  CHECK(tickets == std::vector<unsigned>(kernels::cuda_tickets));
}

TEST_CASE("cuda: scratch of gemm does not shrink where the batch grows") {
  Cuda dev = cuda();
  kernels::CudaState& state = dev.state();
  const auto before = state.scratch_most;
  state.measuring = true;
  std::size_t last[3] = {};
  for (const int batch : {1, 7, 64, 300, 513, 2000, 5000, 40000}) {
    const auto measured = [&](auto f) {
      state.scratch_most = 0;
      f();
      return state.scratch_most;
    };
    Product<float> y, dw, dx;
    y.m = batch, y.n = 200, y.k = 784;
    dw.m = 200, dw.n = 784, dw.k = batch, dw.c = reinterpret_cast<float*>(64);
    dx.m = batch, dx.n = 784, dx.k = 200, dx.c = dw.c;
    const std::size_t now[3] = {
        measured([&] { kernels::cuda::gemm<kernels::cuda::Activate<none>, true, true>(dev, y); }),
        measured([&] { kernels::cuda::gemm_pair(dev, dw, dx); }),
        measured([&] { kernels::cuda::gemm_pair(dev, dw, Product<float>{}); })};
    for (int i = 0; i < 3; ++i) {
      CHECK(now[i] >= last[i]);
      last[i] = now[i];
    }
  }
  state.measuring = false;
  state.scratch_most = before;
}
