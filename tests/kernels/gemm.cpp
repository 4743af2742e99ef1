// Matrix products: every remainder of the tile, every way that operands may lie, against the reference.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/gemm.hpp"

#include "kernels/exact.hpp"
#include "tenon/ref/activation.hpp"
#include "tenon/ref/gemm.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

/// b (k, n) in panels of 16 columns, zero where there is no column.
template <class T>
std::vector<T> in_panels(const std::vector<T>& b, int n, int k) {
  std::vector<T> packed(kernels::gemm_packed(n, k));
  for (int l = 0; l < k; ++l)
    for (int j = 0; j < n; ++j) packed[((j / 16) * k + l) * 16 + j % 16] = b[l * n + j];
  return packed;
}

template <class T>
std::vector<T> transposed(const std::vector<T>& a, int rows, int cols) {
  std::vector<T> t(a.size());
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < cols; ++j) t[j * rows + i] = a[i * cols + j];
  return t;
}

constexpr Act none{}, relu{Activation::relu};

template <class T>
void agrees(Kind kind, int m, int n, int k, bool scratch = false) {
  INFO(m << " x " << n << " x " << k << (scratch ? ", with scratch" : ""));
  const auto a = values<T>(kind, m * k, 1), b = values<T>(kind, k * n, 2), bias = values<T>(kind, n, 3),
             old = values<T>(kind, m * n, 4);
  const auto packed = in_panels(b, n, k), by_columns = transposed(a, m, k);
  std::vector<double> product(m * n), active(m * n);
  kernels::ref::gemm(widen(a).data(), widen(b).data(), nullptr, m, n, k, product.data());
  kernels::ref::gemm(widen(a).data(), widen(b).data(), widen(bias).data(), m, n, k, active.data());
  for (double& v : active) v = kernels::ref::activation(relu, v);
  const double off = allowed<T>(kind, k);

  SameBits same, same_active;
  for_each_cpu([&](Cpu& dev) {
    using kernels::Gemm;
    if (scratch) spoil_scratch(dev, kernels::gemm_scratch<T>(m));
    std::vector<T> c(m * n, T(-77));
    // A by rows and B in panels, as linear's forward; A by columns and B as it lies, as its gradients.
    kernels::gemm<none>(dev, Gemm<T>{m, n, k, a.data(), k, 1, packed.data(), k * 16, 16, c.data(), n});
    CHECK(difference(c, product, 0, off) == "");
    CHECK(same(dev, c));
    c.assign(m * n, T(-77));
    kernels::gemm<none>(dev, Gemm<T>{m, n, k, by_columns.data(), 1, m, b.data(), 16, n, c.data(), n});
    CHECK(difference(c, product, 0, off) == "");
    CHECK(same(dev, c));
    kernels::gemm<relu>(dev, Gemm<T>{m, n, k, a.data(), k, 1, packed.data(), k * 16, 16, c.data(), n, bias.data(), 0});
    CHECK(difference(c, active, 0, off) == "");
    CHECK(same_active(dev, c));
    c = old;
    kernels::gemm<none>(dev, Gemm<T>{m, n, k, a.data(), k, 1, b.data(), 16, n, c.data(), n, c.data(), n});
    CHECK(difference(c, sum(old, product), 0, off) == "");
  });
}

}  // namespace

TEST_CASE("gemm agrees with the reference at every remainder of the tile") {
  for (const int m : {1, 2, 3, 4, 5, 6, 7, 13})
    for (const int n : {1, 7, 8, 9, 15, 16, 17, 31}) agrees<float>(Kind::whole, m, n, 5);
  for (const int m : {1, 2})
    for (const int n : {33, 64, 65, 80, 129}) agrees<float>(Kind::whole, m, n, 11);
}

TEST_CASE("gemm agrees with the reference beyond one task, tall, wide and deep", "[smoke]") {
  agrees<float>(Kind::whole, 49, 65, 3);
  agrees<float>(Kind::whole, 101, 1, 7);
  agrees<float>(Kind::whole, 1, 331, 7);
  agrees<float>(Kind::whole, 1, 10, 1);
  agrees<float>(Kind::whole, 7, 17, 521);
  agrees<float>(Kind::whole, 3, 35, 4099);
  agrees<float>(Kind::whole, 1, 65, 2049);
  agrees<double>(Kind::whole, 33, 65, 257);
}

TEST_CASE("gemm agrees with the reference where operands are gathered in scratch") {
  for (const bool scratch : {false, true}) {
    agrees<float>(Kind::whole, 37, 17, 19, scratch);
    agrees<float>(Kind::whole, 129, 66, 7, scratch);
    agrees<float>(Kind::whole, 261, 67, 300, scratch);
    agrees<double>(Kind::whole, 261, 67, 5, scratch);
  }
}

TEST_CASE("gemm's rounding errors are those of one sum") {
  agrees<float>(Kind::real, 50, 70, 784);
  agrees<float>(Kind::real, 1, 70, 784);
  agrees<double>(Kind::real, 7, 17, 300);
}

TEST_CASE("gemm writes its part of C alone") {
  // C (3, 5) in rows of 9.
  const std::vector<float> a(3, 2), b(5, 3);
  for_each_cpu([&](Cpu& dev) {
    std::vector<float> c(27, -1);
    kernels::gemm<none>(dev, kernels::Gemm<float>{3, 5, 1, a.data(), 1, 1, b.data(), 16, 5, c.data(), 9});
    for (int i = 0; i < 27; ++i) CHECK(c[i] == (i % 9 < 5 ? 6 : -1));
  });
}

TEST_CASE("gemm passes NaN on, through relu too") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> a(7 * 3, 1);
  a[2 * 3 + 1] = nan;
  const std::vector<float> b(3 * 17, 0);
  for_each_cpu([&](Cpu& dev) {
    std::vector<float> c(7 * 17);
    kernels::gemm<relu>(dev, kernels::Gemm<float>{7, 17, 3, a.data(), 3, 1, b.data(), 16, 17, c.data(), 17});
    for (int i = 0; i < 7 * 17; ++i) CHECK(std::isnan(c[i]) == (i / 17 == 2));
  });
}
