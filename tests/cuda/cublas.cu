// Large products use cuBLAS; small products and those where it is not allowed do not. The numbers are the same.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/cublas.cuh"

#include "cuda/support.hpp"
#include "tenon/cuda/linear.cuh"
#include "tenon/ref/linear.hpp"

using namespace tenon;
using namespace tenon::tests;
using kernels::Activation, kernels::Epilogue, kernels::EpilogueTag;
using kernels::CudaState;
using kernels::cuda::Cublas;

namespace {

constexpr int B = 512, I = 512, O = 512;  // 2^27 operations
constexpr EpilogueTag<Epilogue{{Activation::relu}}> relu{};

/// One layer on a separate device, so that cuBLAS is not opened before.
struct Layer {
  Cuda dev;
  std::vector<float> x = integers<float>(B * I, 1), w = integers<float>(O * I, 2), b = integers<float>(O, 3),
                     dy = integers<float>(B * O, 4);
  OnDevice<float> x_{x}, w_{w}, b_{b}, y_{std::size_t{B * O}}, dy_{dy}, dx_{x}, dw_{std::size_t{O * I}},
      db_{std::size_t{O}};

  Layer() { wait(cuda()); }  // the arrays above are filled in the stream of cuda()

  const char* forward(int batch = B) {
    linear_forward(dev, In<float, Batch, I>(x_.data(), batch), In<float, O, I>(w_.data()), Span<const float>{},
                   In<float, O>(b_.data()), relu, Out<float, Batch, O>(y_.data(), batch));
    wait(dev);
    return dev.state().last_kernel;
  }
  const char* backward() {
    linear_backward(dev, In<float, Batch, I>(x_.data(), B), In<float, O, I>(w_.data()),
                    In<float, Batch, O>(y_.data(), B), relu, Out<float, Batch, O>(dy_.data(), B),
                    Into<float, Batch, I>(dx_.data(), B, true), Into<float, O, I>(dw_.data()),
                    Into<float, O>(db_.data()), Span<float>{});
    wait(dev);
    return dev.state().last_kernel;
  }
  const Cublas* cublas() { return static_cast<const Cublas*>(dev.state().cublas.get()); }
};

}  // namespace

TEST_CASE("cuda: a large linear is cuBLAS's, in every kind of numbers, and agrees with the reference") {
  Layer layer;
  std::vector<double> y(B * O), dz(B * O), dx(B * I), dw(O * I), db(O);
  kernels::ref::linear(widen(layer.x).data(), widen(layer.w).data(), widen(layer.b).data(), B, I, O, y.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    dz[i] = y[i] > 0 ? static_cast<double>(layer.dy[i]) : 0;
    y[i] = y[i] > 0 ? y[i] : 0;
  }
  kernels::ref::linear_backward(widen(layer.x).data(), widen(layer.w).data(), dz.data(), B, I, O, dx.data(), dw.data(),
                                db.data());
  for (std::size_t i = 0; i < dx.size(); ++i) dx[i] += static_cast<double>(layer.x[i]);

  CHECK(kernels::cublas_problem() == "");
  for (const CudaMath math : {CudaMath::fp32, CudaMath::tf32, CudaMath::bf16}) {
    layer.dev.math = math;
    CHECK(layer.forward() == std::string("add_bias"));
    CHECK(difference(layer.y_.read(), y, 0) == "");
  }
  REQUIRE(layer.cublas());
  CHECK(layer.cublas()->handle);
  CHECK(layer.backward() == std::string("cublasGemmEx"));
  CHECK(difference(layer.dx_.read(), dx, 0) == "");
  CHECK(difference(layer.dw_.read(), dw, 0) == "");
  CHECK(difference(layer.db_.read(), db, 0) == "");
  CHECK((layer.y_.intact() && layer.dx_.intact() && layer.dw_.intact() && layer.dy_.intact()));
}

TEST_CASE("cuda: cuBLAS is left alone where it is not wanted") {
  Layer layer;
  CudaState& state = layer.dev.state();
  layer.forward(B / 2);
  CHECK(!state.cublas);  // too small

  // Measuring scratch for the library's own kernels also opens cuBLAS.
  state.measuring = true;
  state.scratch_max = 0;
  linear_forward(layer.dev, In<float, Batch, I>(nullptr, B), In<float, O, I>(nullptr), Span<const float>{},
                 In<float, O>(nullptr), relu, Out<float, Batch, O>(nullptr, B));
  CHECK(state.scratch_max > 0);
  state.measuring = false;
  REQUIRE(layer.cublas());
  CHECK(layer.forward() == std::string("add_bias"));
  const auto y = layer.y_.read();

  layer.dev.allow_cublas = false;
  CHECK(layer.forward() == std::string("gemm"));
  CHECK(layer.y_.read() == y);  // exact, because the numbers are integers
  layer.dev.allow_cublas = true;

  auto absent = std::make_shared<Cublas>();
  absent->problem = "expected libcublas.so.13";
  state.cublas = absent;
  CHECK(layer.forward() == std::string("gemm"));
  CHECK(layer.y_.read() == y);
  CHECK(layer.cublas() == absent.get());  // opening is not tried again
}

TEST_CASE("cuda: a step that is being recorded opens no cuBLAS") {
  Layer layer;
  CudaState& state = layer.dev.state();
  kernels::cuda::ScratchAllocator::reserve(state, std::size_t{8} << 20);
  state.scratch_fixed = true;
  CHECK(layer.forward() == std::string("gemm"));
  CHECK(!state.cublas);
}

TEST_CASE("cuda: an operand that cuBLAS refuses is an error that says so") {
  Layer layer;
  kernels::cuda::Product<float> p;
  p.m = p.n = p.k = 512;
  p.a = layer.x_.data(), p.a_ld = 512;
  p.b = layer.w_.data(), p.b_ld = 5;
  p.c = layer.y_.data(), p.c_ld = 512;
#if TENON_SIMT
  const bool quiet = std::exchange(simt::options().quiet, true);
#endif
  CHECK_THROWS_WITH(
      (kernels::cuda::multiply<kernels::cuda::ActivationFunction<Activation{}>, true, true>(layer.dev, p)),
      ContainsSubstring("expected cublasGemmEx of 512, 512, 512 to succeed"));
#if TENON_SIMT
  simt::options().quiet = quiet;
  simt::reset();
#endif
}
