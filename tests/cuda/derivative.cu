// Derivatives and column sums are exact, for columns around a panel and 16 bytes, and rows around one chunk and many.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/derivative.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/activation.hpp"

using namespace tenon;
using namespace tenon::tests;
using kernels::Activation;

namespace {

constexpr Activation none{}, relu{Activation::relu}, leaky{Activation::leaky_relu, 1, 4}, sigmoid{Activation::sigmoid};

struct Shape {
  int rows, cols;
};
constexpr Shape shapes[] = {{1, 1},   {7, 1},   {2, 3},     {33, 10},  {128, 10},  {5, 32},   {9, 33},    {31, 36},
                            {17, 64}, {8, 257}, {1031, 17}, {513, 32}, {1100, 32}, {4200, 4}, {5000, 300}};

/// Uses integers, so that derivatives are 0, 1 or 1/4 and sums are exact.
template <Activation A, class T>
void agrees(int rows, int cols, std::size_t offset) {
  INFO("rows " << rows << ", cols " << cols << ", activation " << static_cast<int>(A.kind) << ", offset " << offset);
  const std::size_t n = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  const auto dy = integers<T>(n, 1), y = integers<T>(n, 2), old = integers<T>(static_cast<std::size_t>(cols), 3);
  std::vector<T> want_dz(n);
  std::vector<double> want(static_cast<std::size_t>(cols));
  for (std::size_t i = 0; i < n; ++i) {
    want_dz[i] = dy[i] * (A.kind == Activation::none ? T(1) : y[i] > 0 ? T(1) : static_cast<T>(double(A.num) / A.den));
    want[i % static_cast<std::size_t>(cols)] += static_cast<double>(want_dz[i]);
  }
  OnDevice<T> dz(dy, offset), on(y, offset), sums(old), more(old, offset);
  const T* const y_or_null = A.kind == Activation::none ? nullptr : on.data();

  const bool large = n > 50000;
  const auto overwrite = [&] {
    upload(cuda(), dy.data(), dz.data(), n);
    derivative_and_sums<A>(cuda(), dz.data(), y_or_null, rows, cols, sums.data(), false);
    return sums.read();
  };
  if (large)
    overwrite();
  else
    CHECK(same_bits_always(overwrite));
  CHECK(difference(sums.read(), want, 0) == "");
  CHECK(dz.read() == want_dz);

  upload(cuda(), dy.data(), dz.data(), n);
  derivative_and_sums<A>(cuda(), dz.data(), y_or_null, rows, cols, more.data(), true);
  CHECK(difference(more.read(), sum(old, want), 0) == "");

  upload(cuda(), dy.data(), dz.data(), n);
  derivative_and_sums<A>(cuda(), dz.data(), y_or_null, rows, cols, static_cast<T*>(nullptr), true);
  CHECK(dz.read() == want_dz);
  CHECK((dz.intact() && on.intact() && sums.intact() && more.intact()));
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: slopes and column sums are exact", "", float, double) {
  using T = TestType;
  for (const auto [rows, cols] : shapes) {
    agrees<relu, T>(rows, cols, 0);
    if (cols < 64) agrees<none, T>(rows, cols, 0);
    if (cols == 32 || cols == 36) agrees<leaky, T>(rows, cols, 1);
  }
}

TEST_CASE("cuda: column sums of real numbers agree within rounding, always with the same bits") {
  constexpr int rows = 700, cols = 20;
  const auto dy = numbers<float>(rows * cols, 1), y = numbers<float>(rows * cols, 2, 0, 1);
  std::vector<double> want(cols);
  for (int i = 0; i < rows * cols; ++i) want[i % cols] += double(dy[i]) * (1 - y[i]) * y[i];
  OnDevice<float> dz(dy), on(y), sums(std::size_t{cols});
  CHECK(same_bits_always([&] {
    upload(cuda(), dy.data(), dz.data(), dy.size());
    derivative_and_sums<sigmoid>(cuda(), dz.data(), static_cast<const float*>(on.data()), rows, cols, sums.data(),
                                 false);
    return sums.read();
  }));
  CHECK(difference(sums.read(), want, 0, allowed<float>(Kind::real, rows)) == "");
}
