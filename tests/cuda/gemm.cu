// tests/kernels/gemm.hpp on Cuda, in float, tf32 and bf16; the rounding of tf32 and bf16, two products in a launch,
// scratch.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/gemm.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/gemm.hpp"

using kernels::cuda::Product;

namespace {

template <class T>
Product<T> product(const Call<T>& c) {
  Product<T> p;
  p.m = c.s.m, p.n = c.s.n, p.k = c.s.k;
  p.a = c.a, p.a_ld = c.a_ld;
  p.b = c.b, p.b_ld = c.b_ld;
  p.c = c.c, p.c_ld = c.c_ld;
  p.bias = c.bias;
  p.accumulate = c.accumulate;
  return p;
}
template <Activation A, bool KA, bool KB, class T>
void multiply(Device& dev, const Call<T>& c) {
  kernels::cuda::gemm<kernels::cuda::ActivationFunction<A>, KA, KB>(dev, product(c));
}

template <class F>
void each_math(F&& f) {
  for (const CudaMath math : maths) {
    INFO("math " << static_cast<int>(math));
    const WithMath with(math);
    f(math == CudaMath::fp32);
  }
}

}  // namespace

TEST_CASE("cuda: gemm of real numbers rounds factors as its math says, and nothing else") {
  const auto check = [](CudaMath math, auto round) {
    const WithMath with(math);
    const Factors<float> f(Kind::real, {20, 40, 200}, 0);
    Factors<float> rounded(f);
    for (auto* v : {&rounded.a, &rounded.b})
      for (float& x : *v) x = round(x);
    CHECK(difference(Operands<float, true, true>(f).result<none>(cuda(), true, false), rounded.want(none, true, false),
                     0, allowed<float>(Kind::real, f.s.k)) == "");
  };
  const auto to = [](int bits, bool ties_away) {
    return [=](float v) {
      int e;
      const double m = std::frexp(static_cast<double>(v), &e), unit = std::ldexp(1.0, bits + 1);
      return static_cast<float>(std::ldexp((ties_away ? std::round(m * unit) : std::nearbyint(m * unit)) / unit, e));
    };
  };
  check(CudaMath::fp32, [](float v) { return v; });
  check(CudaMath::tf32, to(10, true));
  check(CudaMath::bf16, to(7, false));
}

TEST_CASE("cuda: gemm_pair does two products, or one, in one launch") {
  each_math([](bool own) {
    for (const Size s : {Size{10, 36, 33}, {40, 20, 1100}}) {
      const Factors<float> one(Kind::whole, s, 0),
          other(Kind::whole, {s.k > 1000 ? 7 : s.k, s.n, s.k > 1000 ? 515 : s.m}, 0);
      const auto run = [&](Device& dev) {
        Operands<float, false, false> p(one);
        Operands<float, true, false> q(other);
        kernels::cuda::gemm_pair(dev, product(p.call(false, false)), product(q.call(false, true)));
        CHECK(difference(p.c.read(), one.want(none, false, false), 0) == "");
        CHECK(difference(q.c.read(), other.want(none, false, true), 0) == "");
        p.c.write(p.old), q.c.write(q.old);
        kernels::cuda::gemm_pair(dev, product(p.call(false, true)), Product<float>{});
        kernels::cuda::gemm_pair(dev, Product<float>{}, Product<float>{});
        CHECK(difference(p.c.read(), one.want(none, false, true), 0) == "");
        CHECK((q.c.read() == q.old));
        CHECK((p.intact() && q.intact()));
      };
      if (own)
        Ways<Device>::each(run);
      else
        run(cuda());
    }
  });
  std::vector<unsigned> tickets(kernels::cuda_tickets);
  download(cuda(), cuda().state().tickets, tickets.data(), tickets.size());
  CHECK(tickets == std::vector<unsigned>(kernels::cuda_tickets));
}

TEST_CASE("cuda: scratch of gemm does not shrink where the batch grows") {
  Cuda dev = cuda();
  kernels::CudaState& state = dev.state();
  const auto before = state.scratch_max;
  state.measuring = true;
  std::size_t last[3] = {};
  for (const int batch : {1, 7, 64, 300, 513, 2000, 5000, 40000}) {
    const auto measured = [&](auto f) {
      state.scratch_max = 0;
      f();
      return state.scratch_max;
    };
    Product<float> y, dw, dx;
    y.m = batch, y.n = 200, y.k = 784;
    dw.m = 200, dw.n = 784, dw.k = batch, dw.c = reinterpret_cast<float*>(64);
    dx.m = batch, dx.n = 784, dx.k = 200, dx.c = dw.c;
    const std::size_t now[3] = {
        measured([&] { kernels::cuda::gemm<kernels::cuda::ActivationFunction<none>, true, true>(dev, y); }),
        measured([&] { kernels::cuda::gemm_pair(dev, dw, dx); }),
        measured([&] { kernels::cuda::gemm_pair(dev, dw, Product<float>{}); })};
    for (int i = 0; i < 3; ++i) {
      CHECK(now[i] >= last[i]);
      last[i] = now[i];
    }
  }
  state.measuring = false;
  state.scratch_max = before;
}
