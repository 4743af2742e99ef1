// Reductions over flat memory: exact enough, the same bits aligned or not and in every order, not to be fooled by NaN.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/reduce.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/reduce.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T>
struct Product {
  const T *a, *b;
  TENON_HD T operator()(std::size_t i) const { return a[i] * b[i]; }
};

}  // namespace

TEMPLATE_TEST_CASE("cuda: sum_of_squares agrees with the reference", "", float, double) {
  using T = TestType;
  // A chunk is of 2048 elements, and a block combines 256 of them at a time.
  for (const std::size_t n : {0, 1, 3, 4, 5, 31, 33, 1000, 1023, 1025, 2047, 2048, 2049, 4100, 20001}) {
    INFO("n " << n);
    const auto x = numbers<T>(n, 1);
    const double want = kernels::ref::sum_of_squares(widen(x).data(), n);
    OnDevice<T> dx(x), moved(x, 1);
    OnDevice<double> result(1);
    const double s = sum_of_squares(cuda(), dx.const_span());
    CHECK(std::abs(s - want) <= 1e-13 * want);
    CHECK(sum_of_squares(cuda(), moved.const_span()) == s);
    CHECK(same_bits_always([&] {
      sum_of_squares_then(cuda(), dx.const_span(), kernels::cuda::ReduceStore<double>{result.data()});
      return result.read();
    }));
    CHECK(result.read()[0] == s);
    CHECK(result.intact());
  }
}

TEST_CASE("cuda: sum_of_squares of more than the most chunks") {
  constexpr std::size_t n = 2048 * 1024 + 2049;  // chunks of 4096, the last one of 1
  std::vector<float> x(n, 1);
  x[0] = x[n - 1] = 3, x[4095] = 5, x[4096] = 7;
  OnDevice<float> dx(x);
  CHECK(sum_of_squares(cuda(), dx.const_span()) == n - 4 + 2 * 9 + 25 + 49);
}

TEST_CASE("cuda: sum_of_squares of floats cannot overflow") {
  OnDevice<float> x(std::vector<float>(1000, 3e38f));
  CHECK(std::abs(sum_of_squares(cuda(), x.const_span()) / (1000 * 9e76) - 1) < 1e-6);
}

TEMPLATE_TEST_CASE("cuda: all_finite finds one bad value anywhere", "", float, double) {
  using T = TestType;
  const T big = std::numeric_limits<T>::max(), tiny = std::numeric_limits<T>::denorm_min();
  for (const std::size_t n : {0, 1, 7, 8, 9, 33, 2049, 5000})
    for (const std::size_t offset : {0u, 1u}) {
      INFO("n " << n << ", offset " << offset);
      std::vector<T> x(n, big);
      if (n) x[n / 2] = tiny;
      // Behind the end and before the beginning stands what is not to be read.
      const auto finite = [&] {
        std::vector<T> padded(x);
        padded.insert(padded.begin(), offset, T(NAN));
        padded.resize(padded.size() + 8, T(NAN));
        OnDevice<T> dx(padded);
        return all_finite(cuda(), Span<const T>{dx.data() + offset, n});
      };
      CHECK(finite());
      if (n == 0) continue;
      for (const std::size_t at : {std::size_t{0}, n / 2, n - 1})
        for (const T bad : {T(INFINITY), T(-INFINITY), T(NAN), T(-NAN)}) {
          const T good = x[at];
          x[at] = bad;
          CHECK_FALSE(finite());
          x[at] = good;
        }
    }
}

TEST_CASE("cuda: sum takes a function of the index") {
  for (const std::size_t n : {0, 1, 255, 257, 2048, 2049, 9001}) {
    INFO("n " << n);
    const auto a = integers<float>(n, 1), b = integers<float>(n, 2);
    double want = 0;
    for (std::size_t i = 0; i < n; ++i) want += a[i] * b[i];
    OnDevice<float> da(a), db(b);
    CHECK(sum(cuda(), n, Product<float>{da.data(), db.data()}) == want);
    OnDevice<float> to(std::vector<float>{5});
    sum_into(cuda(), n, Product<float>{da.data(), db.data()}, Into<float, 1>(to.data(), 1, true));
    CHECK(to.read()[0] == 5 + want);
    sum_into(cuda(), n, Product<float>{da.data(), db.data()}, Into<float, 1>(to.data()));
    CHECK(to.read()[0] == want);
    sum_into(cuda(), n, Product<float>{da.data(), db.data()}, Into<float, 1>());
    CHECK((to.read()[0] == want && to.intact()));
  }
}

TEST_CASE("cuda: a reduction's scratch covers all smaller ones") {
  std::size_t before = 0;
  for (const std::size_t n : {0u, 1u, 2048u, 2049u, 2048u * 1024u, 2048u * 1024u + 1u, 5000000u}) {
    const std::size_t capacity = kernels::cuda::ReduceChunks::capacity(n);
    CHECK(capacity >= before);
    CHECK(capacity >= kernels::cuda::ReduceChunks(n).count);
    before = capacity;
  }
}
