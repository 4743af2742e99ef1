// Elementwise kernels: exact, for every length around a piece of 16 bytes and a block, aligned and not.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/elementwise.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/elementwise.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

constexpr int lengths[] = {1, 2, 3, 4, 5, 255, 256, 1023, 1024, 1025, 5003};

template <class T>
struct Squared {
  const T* x;
  TENON_HD T operator()(std::size_t i) const { return x[i] * x[i]; }
};

}  // namespace

TEMPLATE_TEST_CASE("cuda: add_forward is exact", "", float, double) {
  using T = TestType;
  for (const int n : lengths)
    for (const std::size_t offset : {0u, 1u}) {
      INFO("n " << n << ", offset " << offset);
      const auto a = numbers<T>(n, 1), b = numbers<T>(n, 2);
      OnDevice<T> da(a, offset), db(b), dy(static_cast<std::size_t>(n));
      CHECK(same_bits_always([&] {
        add_forward(cuda(), In<T, Batch, 1>(da.data(), n), In<T, Batch, 1>(db.data(), n),
                    Out<T, Batch, 1>(dy.data(), n));
        return dy.read();
      }));
      std::vector<T> want(a);
      for (std::size_t i = 0; i < want.size(); ++i) want[i] += b[i];
      CHECK(dy.read() == want);
      CHECK(dy.intact());
      add_forward(cuda(), In<T, Batch, 1>(da.data(), n), In<T, Batch, 1>(db.data(), n), Out<T, Batch, 1>(da.data(), n));
      CHECK(da.read() == want);  // in place
    }
}

TEMPLATE_TEST_CASE("cuda: accumulate overwrites, adds, or does nothing", "", float, double) {
  using T = TestType;
  for (const int n : lengths)
    for (const std::size_t offset : {0u, 3u})
      for (const bool add : {false, true}) {
        INFO("n " << n << ", offset " << offset << ", add " << add);
        const auto dy = numbers<T>(n, 3), old = numbers<T>(n, 4);
        OnDevice<T> ddy(dy), ddx(old, offset);
        accumulate(cuda(), In<T, Batch, 1>(ddy.data(), n), Into<T, Batch, 1>(ddx.data(), n, add));
        std::vector<T> want(dy);
        for (std::size_t i = 0; add && i < want.size(); ++i) want[i] += old[i];
        CHECK(ddx.read() == want);
        CHECK(ddx.intact());
        accumulate(cuda(), In<T, Batch, 1>(ddy.data(), n), Into<T, Batch, 1>(nullptr, n, add));
      }
  wait(cuda());
}

TEST_CASE("cuda: elementwise takes a function of the index") {
  const auto x = numbers<float>(1001, 5), old = numbers<float>(1001, 6);
  OnDevice<float> dx(x), dy(old);
  std::vector<float> want(x), sum(old);
  for (std::size_t i = 0; i < x.size(); ++i) want[i] = x[i] * x[i], sum[i] = old[i] + want[i];
  elementwise(cuda(), Into<float, Batch, 7>(dy.data(), 143, true), Squared<float>{dx.data()});
  CHECK(dy.read() == sum);
  elementwise(cuda(), Out<float, Batch, 7>(dy.data(), 143), Squared<float>{dx.data()});
  CHECK(dy.read() == want);
  CHECK(dy.intact());
}

// What the gates of tests/simt/trace look at: sizes that networks have, aligned as a model's tensors are.
TEST_CASE("cuda: sums of two at the sizes of a network", "[shapes]") {
  constexpr int rows = 32, cols = 784;
  const auto a = numbers<float>(rows * cols, 7), b = numbers<float>(rows * cols, 8);
  OnDevice<float> da(a), db(b), dy(a.size());
  add_forward(cuda(), In<float, Batch, cols>(da.data(), rows), In<float, Batch, cols>(db.data(), rows),
              Out<float, Batch, cols>(dy.data(), rows));
  accumulate(cuda(), In<float, Batch, cols>(da.data(), rows), Into<float, Batch, cols>(dy.data(), rows, true));
  std::vector<float> want(a);
  for (std::size_t i = 0; i < want.size(); ++i) want[i] = a[i] + b[i] + a[i];
  CHECK(dy.read() == want);
}
