// tests/kernels/conv2d.hpp on Cuda; first layers, tensor cores, thread orders, scratch, NaN.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/conv2d.cuh"

#include <algorithm>

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/conv2d.hpp"

namespace {

template <class T, ConvDims D, Epilogue F>
constexpr WorkspaceSizes workspace_sizes() {
  return {};
}
/// The allowed error of a sum of k products of numbers up to 1. The relative error of a factor is at most 2^-11 (tf32)
/// or 2^-8 (bf16). The errors of k products add up to at most k times that, and here to sqrt(k) times.
template <class T>
double bound(Kind kind, int k) {
  const double factor = cuda().math == CudaMath::fp32 || sizeof(T) == 8 ? 0
                        : cuda().math == CudaMath::tf32                 ? 0x1p-10
                                                                        : 0x1p-7;
  return allowed<T>(kind, k) + (kind == Kind::whole ? 0 : factor * std::sqrt(k));
}
bool exact() { return cuda().math == CudaMath::fp32; }

}  // namespace

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
    const WithMath with(m);
    agrees<float, ConvDims{16, 6, 7, 16, 1, three}, relu>(Kind::whole, 3);
    agrees<float, ConvDims{8, 7, 5, 40, 1, three}, relu_pool2_first>(Kind::whole, 5);
    agrees<float, ConvDims{32, 14, 14, 64, 1, three}, relu_pool2_first>(Kind::whole, 2);
    agrees<float, ConvDims{16, 8, 8, 32, 1, {3, 3, 2, 2, 1, 1}}, none>(Kind::whole, 5);
    agrees<float, ConvDims{68, 5, 4, 132, 1, three}, relu>(Kind::whole, 2);  // slightly larger than whole tiles
    agrees<float, ConvDims{16, 8, 7, 32, 1, {1, 1, 2, 2}}, none>(Kind::whole, 5);
    agrees<float, ConvDims{24, 5, 5, 96, 2, {3, 3, 1, 1, 2, 2, 2, 2}}, leaky>(Kind::whole, 3);
  }
}

TEST_CASE("cuda: conv2d of real numbers agrees within rounding") {
  for (const CudaMath m : maths) {
    const WithMath with(m);
    agrees<float, ConvDims{32, 7, 7, 40, 1, three}, relu_pool2_first>(Kind::real, 5);
    agrees<float, ConvDims{16, 7, 5, 16, 1, three}, tanh_>(Kind::real, 3);
  }
  agrees<float, ConvDims{1, 28, 28, 32, 1, three}, relu_pool2>(Kind::real, 3);
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, tanh_pool2>(Kind::real, 5);
  agrees<double, ConvDims{3, 8, 8, 8, 1, three}, tanh_pool2>(Kind::real, 5);
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, gelu_pool2>(Kind::real, 5);  // forward only
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
    const WithMath with(m);
    CHECK(same_bits_always([&] {
      upload(cuda(), from.data(), dy.data(), out);
      o.forward(cuda(), batch, x.data(), w.data(), b.data(), packed.span(), y.data(), places.data());
      o.backward(cuda(), batch, x.data(), w.data(), y.data(), places.data(), dy.data(), {dx.data()}, {dw.data()},
                 {db.data()}, {});
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
      o.forward(cuda(), batch, x.data(), w.data(), nullptr, packed.span(), y.data(), places.data());
      o.backward(cuda(), batch, x.data(), w.data(), y.data(), places.data(), dy.data(), {dx.data()}, {dw.data()},
                 {db.data()}, {});
    };
    wait(cuda());
    state.scratch_max = 0;
    state.measuring = true;
    step(9);
    state.measuring = false;
    const std::size_t bytes = state.scratch_bytes;
    state.scratch_fixed = true;
    state.scratch_bytes = std::min(bytes, state.scratch_max);
    for (int batch = 1; batch <= 9; ++batch) CHECK_NOTHROW(step(batch));
    state.scratch_fixed = false;
    state.scratch_bytes = bytes;
    wait(cuda());
  };
  check(op<float, ConvDims{8, 7, 5, 17, 1, three}, relu_pool2_first>(), 7 * 5 * 8, 3 * 2 * 17, 17 * 8 * 9);
  check(op<float, ConvDims{1, 9, 11, 32, 1, three}, relu_pool2>(), 9 * 11, 4 * 5 * 32, 32 * 9);
  check(op<float, ConvDims{16, 8, 8, 32, 1, {3, 3, 2, 2, 1, 1}}, none>(), 8 * 8 * 16, 4 * 4 * 32, 32 * 16 * 9);
}

TEST_CASE("cuda: conv2d passes NaN on where it goes by tiles") { passes_nan_on<ConvDims{8, 6, 6, 9, 1, three}>(); }
