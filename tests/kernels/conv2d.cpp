// tests/kernels/conv2d.hpp on the Cpu; shapes for Winograd's algorithm, gradients through a pool, large images, NaN.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/conv2d.hpp"

using Device = tenon::Cpu;
#include "kernels/conv2d.hpp"

namespace {

template <class T, ConvDims D, Epilogue F>
constexpr WorkspaceSizes workspace_sizes() {
  return {kernels::conv2d_workspace(D, F), kernels::conv2d_scratch<T>(D, F)};
}
template <class T>
double bound(Kind kind, int k) {
  return allowed<T>(kind, k);
}
bool exact() { return true; }

}  // namespace

TEST_CASE("conv2d agrees with the reference for wide depthwise windows") {
  agrees<float, ConvDims{40, 5, 5, 40, 40, {5, 5, 2, 2, 2, 2}}, relu>();
}

TEST_CASE("conv2d agrees with the reference where Winograd's algorithm fits") {
  agrees<float, ConvDims{16, 6, 8, 16, 1, three}, relu>();
  agrees<float, ConvDims{9, 7, 5, 17, 1, three}, none>();  // tiles extend beyond the edge
  agrees<float, ConvDims{40, 3, 9, 33, 1, {3, 3, 1, 1, 2, 0}}, leaky>();
  agrees<float, ConvDims{8, 3, 3, 16, 1, {3, 3}}, relu>();  // one output pixel
  agrees<float, ConvDims{17, 9, 7, 24, 1, three}, relu_pool2>();
  agrees<float, ConvDims{8, 10, 10, 20, 1, three}, relu_pool3>();
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
  agrees<float, ConvDims{3, 8, 8, 8, 1, three}, gelu_pool2>(Kind::real, 5);  // forward only
}

TEST_CASE("conv2d agrees with the reference for images larger than a worker's scratch") {
  agrees<float, ConvDims{32, 16, 15, 24, 1, three}, relu_pool2>(Kind::whole, 3);
  agrees<float, ConvDims{16, 32, 31, 128, 1, three}, relu>(Kind::whole, 2);
  agrees<float, ConvDims{8, 91, 33, 128, 1, {5, 3, 2, 2, 2, 1}}, none_first>(Kind::whole, 2);
  agrees<float, ConvDims{16, 40, 40, 128, 2, three}, relu_pool2_first>(Kind::whole, 1);
  agrees<float, ConvDims{16, 33, 40, 128, 1, {3, 3, 1, 1, 2, 2, 2, 2}}, pool2>(Kind::whole, 1);
}

TEST_CASE("conv2d passes NaN on to every result that saw it, and no further than a tile of Winograd's") {
  constexpr ConvDims D{8, 6, 6, 16, 1, three};
  auto x = integers<float>(6 * 6 * 8, 1);
  const auto w = integers<float>(16 * 8 * 9, 2);
  x[(2 * 6 + 3) * 8 + 5] = std::numeric_limits<float>::quiet_NaN();  // pixel (2, 3): used by (1 .. 3, 2 .. 4)
  const Op<float> o = op<float, D, relu>();
  for_each_cpu([&](Cpu& dev) {
    spoil_scratch(dev, o.workspace_sizes.scratch);
    Memory<float> packed(o.packed), all(6 * 6 * 16);
    o.forward(dev, 1, x.data(), w.data(), nullptr, packed.span(), all.data(), nullptr);
    const auto y = all.read();
    for (int p = 0; p < 36; ++p)
      for (int c = 0; c < 16; ++c) {
        const int row = p / 6, column = p % 6;
        if (row >= 1 && row <= 3 && column >= 2 && column <= 4) CHECK(std::isnan(y[p * 16 + c]));
        if (row >= 4 || column <= 1) CHECK(!std::isnan(y[p * 16 + c]));  // other tiles
      }
  });
}
