// LayerNorm: output and gradients against the reference, for short rows, long rows and unaligned rows. Runs on any
// device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/layer_norm.hpp"

namespace {

/// The arrays of a batch on the device, and the two calls.
template <class T, int R, int N>
struct Case {
  Device* dev;
  int batch;
  Memory<T> x, dy, gamma, beta, mean, rstd, y, dx, dgamma, dbeta, work;

  Case(Device& on, int b, std::size_t offset, const std::vector<T>& from_x, const std::vector<T>& from_dy,
       const std::vector<T>& from_gamma, const std::vector<T>& from_beta)
      : dev(&on),
        batch(b),
        x(from_x, offset),
        dy(from_dy, offset),
        gamma(from_gamma, offset),
        beta(from_beta, offset),
        mean(static_cast<std::size_t>(b) * R),
        rstd(static_cast<std::size_t>(b) * R),
        y(from_x.size(), T(-77), offset),
        dx(from_x.size(), T(-77), offset),
        dgamma(N),
        dbeta(N),
        work(workspace(N)) {}

  void forward(bool keep = true, bool affine = true) {
    layer_norm_forward(*dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(affine ? gamma.data() : nullptr),
                       In<T, N>(affine ? beta.data() : nullptr), T(1e-5), Out<T, Batch, R, N>(y.data(), batch),
                       Out<T, Batch, R>(keep ? mean.data() : nullptr, batch),
                       Out<T, Batch, R>(keep ? rstd.data() : nullptr, batch));
  }
  void backward(const T* from, Into<T, Batch, R, N> to, Into<T, N> to_gamma, Into<T, N> to_beta, bool affine = true) {
    layer_norm_backward(*dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(affine ? gamma.data() : nullptr),
                        In<T, Batch, R>(mean.data(), batch), In<T, Batch, R>(rstd.data(), batch),
                        In<T, Batch, R, N>(from, batch), to, to_gamma, to_beta, work.span());
  }
  Into<T, Batch, R, N> into(Memory<T>& to, bool add = false) { return Into<T, Batch, R, N>(to.data(), batch, add); }
  bool intact() const {
    return x.intact() && dy.intact() && mean.intact() && rstd.intact() && y.intact() && dx.intact() &&
           dgamma.intact() && dbeta.intact();
  }
};

template <class T, int R, int N>
void agrees(int batch, double tolerance, std::size_t offset = 0, double centre = 2) {
  INFO("batch " << batch << ", R " << R << ", N " << N << ", offset " << offset << ", centre " << centre);
  const int rows = batch * R;
  const std::size_t n = static_cast<std::size_t>(rows) * N;
  const T epsilon = T(1e-5);
  const auto x = numbers<T>(n, 1, centre - 1, centre + 1), dy = numbers<T>(n, 2), gamma = numbers<T>(N, 3, 0.5, 2),
             beta = numbers<T>(N, 4), old = numbers<T>(n, 5);
  std::vector<double> want(n), want_dx(n), dgamma(N), dbeta(N), want_added(n);
  kernels::ref::layer_norm(widen(x).data(), rows, N, widen(gamma).data(), widen(beta).data(), epsilon, want.data());
  kernels::ref::layer_norm_backward(widen(x).data(), rows, N, widen(gamma).data(), epsilon, widen(dy).data(),
                                    want_dx.data(), dgamma.data(), dbeta.data());
  for (std::size_t i = 0; i < n; ++i) want_added[i] = old[i] + want_dx[i];
  const double sums = tolerance * std::sqrt(rows);
  SameBitsOn<Device> same, same_gradients;
  Ways<Device>::each([&](Device& dev) {
    Case<T, R, N> the(dev, batch, offset, x, dy, gamma, beta);
    the.forward();
    const auto got = the.y.read();
    CHECK(same(dev, got));
    CHECK(difference(got, want, tolerance, tolerance) == "");
    the.backward(the.dy.data(), the.into(the.dx), Into<T, N>(the.dgamma.data()), Into<T, N>(the.dbeta.data()));
    const auto got_dx = the.dx.read(), got_dgamma = the.dgamma.read(), got_dbeta = the.dbeta.read();
    CHECK(same_gradients(dev, joined(got_dx, got_dgamma, got_dbeta)));
    CHECK(difference(got_dx, want_dx, tolerance, tolerance) == "");
    CHECK(difference(got_dgamma, dgamma, tolerance, sums) == "");
    CHECK(difference(got_dbeta, dbeta, tolerance, sums) == "");

    // dx may be dy. Gradients may be accumulated or omitted. Inference saves no statistics.
    Memory<T> in_place(dy, offset), added(old, offset);
    the.backward(in_place.data(), the.into(in_place), Into<T, N>(), Into<T, N>(the.dbeta.data(), 1, true));
    CHECK((in_place.read() == got_dx));
    the.backward(the.dy.data(), {}, Into<T, N>(the.dgamma.data(), 1, true), Into<T, N>());
    CHECK((the.dgamma.read() == doubled(got_dgamma) && the.dbeta.read() == doubled(got_dbeta)));
    the.backward(the.dy.data(), the.into(added, true), Into<T, N>(), Into<T, N>());
    CHECK(difference(added.read(), want_added, tolerance, tolerance) == "");
    the.y.write(std::vector<T>(n, T(-77)));
    the.forward(false);
    CHECK((the.y.read() == got));
    CHECK((the.intact() && in_place.intact() && added.intact()));

    // Without gamma and beta the results are those of gamma = 1 and beta = 0.
    Case<T, R, N> plain(dev, batch, offset, x, dy, std::vector<T>(N, 1), std::vector<T>(N, 0));
    plain.forward();
    plain.backward(plain.dy.data(), plain.into(plain.dx), Into<T, N>(), Into<T, N>());
    const auto plain_y = plain.y.read(), plain_dx = plain.dx.read();
    plain.forward(true, false);
    plain.backward(plain.dy.data(), plain.into(plain.dx), Into<T, N>(), Into<T, N>(), false);
    CHECK((plain.y.read() == plain_y && plain.dx.read() == plain_dx));
  });
}

}  // namespace

TEST_CASE("layer_norm agrees with the reference for rows of up to 1024") {
  // On Cuda a warp holds a row. In backward a block holds a row of more than 512 floats, and a row of more than 4096 is
  // read again.
  agrees<float, 1, 1>(3, 1e-5);
  agrees<float, 1, 7>(1, 1e-5);
  agrees<float, 1, 8>(65, 1e-5);
  agrees<float, 3, 9>(17, 1e-5);
  agrees<float, 5, 31>(2, 1e-5);
  agrees<float, 1, 33>(200, 1e-5);
  agrees<float, 2, 1000>(many<Device>(65, 2), 1e-5);
  agrees<float, 1, 64>(37, 1e-5);
  agrees<float, 1, 511>(6, 1e-5);
  agrees<float, 1, 512>(9, 1e-5);
  agrees<float, 2, 1023>(2, 1e-5);
  agrees<float, 1, 1024>(5, 1e-5);
  agrees<double, 3, 9>(33, 1e-12);
  agrees<double, 1, 256>(5, 1e-12);
  agrees<double, 1, 512>(3, 1e-12);
}

TEST_CASE("layer_norm agrees with the reference for thousands of rows") {
  agrees<float, 1, 20>(4500, 1e-5);
  agrees<double, 1, 5>(4200, 1e-12);
}

TEST_CASE("layer_norm agrees with the reference for rows of up to 8192, which a block of Cuda's holds") {
  agrees<float, 1, 1025>(3, 1e-5);
  agrees<float, 1, 1028>(300, 1e-5);
  agrees<float, 1, 4096>(2, 1e-5);
  agrees<float, 2, 8192>(1, 1e-5);
  agrees<double, 1, 514>(3, 1e-12);
}

TEST_CASE("layer_norm of longer rows, and of those that are not aligned, agrees with the reference") {
  agrees<float, 1, 8193>(3, 1e-5);
  agrees<float, 1, 8196>(2, 1e-5);
  agrees<double, 1, 4099>(70, 1e-12);
  agrees<float, 1, 32>(17, 1e-5, 1);
  agrees<float, 1, 1028>(5, 1e-5, 3);
}

TEST_CASE("layer_norm keeps its digits when the mean is a thousand deviations") {
  // The inputs represent the deviation only to 1e-4. A plain sum of squares would lose all its digits.
  agrees<float, 1, 100>(9, 2e-4, 0, 1000);
  agrees<float, 1, 2000>(2, 2e-4, 0, 1000);
  agrees<float, 1, 100>(3, 2e-4, 1, 1000);
}

TEST_CASE("layer_norm of equal values is beta") {
  const auto equal = [&](auto width) {
    constexpr int N = decltype(width)::value;
    const std::vector<float> x(N * 3, 12345.678f), gamma(N, 2), beta = numbers<float>(N, 1);
    Ways<Device>::each([&](Device& dev) {
      Case<float, 1, N> the(dev, 3, 0, x, x, gamma, beta);
      the.forward();
      const auto y = the.y.read();
      for (std::size_t i = 0; i < y.size(); ++i)
        if (y[i] != beta[i % N]) FAIL("N " << N << ", at " << i << ": " << y[i]);
    });
  };
  equal(std::integral_constant<int, 10>{});
  equal(std::integral_constant<int, 100>{});
  equal(std::integral_constant<int, 1500>{});
  equal(std::integral_constant<int, 8200>{});
}

TEST_CASE("layer_norm's gradients are those of its forward") {
  Device dev = device<Device>();
  constexpr int B = 3, R = 2, N = 4, n = B * R * N;
  const auto x = numbers<double>(n, 1), gamma = numbers<double>(N, 2, 0.5, 2), beta = numbers<double>(N, 3);
  const auto dy = numbers<double>(n, 4);
  const auto loss = [&](const std::vector<double>& at, const std::vector<double>& g, const std::vector<double>& b) {
    Case<double, R, N> the(dev, B, 0, at, dy, g, b);
    the.forward();
    const auto y = the.y.read();
    double s = 0;
    for (std::size_t i = 0; i < n; ++i) s += y[i] * dy[i];
    return s;
  };
  Case<double, R, N> the(dev, B, 0, x, dy, gamma, beta);
  the.forward();
  the.backward(the.dy.data(), the.into(the.dx), Into<double, N>(the.dgamma.data()), Into<double, N>(the.dbeta.data()));
  check_gradient(the.dx.read(), x, 1e-8, [&](const auto& at) { return loss(at, gamma, beta); });
  check_gradient(the.dgamma.read(), gamma, 1e-8, [&](const auto& at) { return loss(x, at, beta); });
  check_gradient(the.dbeta.read(), beta, 1e-8, [&](const auto& at) { return loss(x, gamma, at); });
}
