// LayerNorm: output and gradients against the reference.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/layer_norm.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/layer_norm.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, int R, int N>
void agrees(int batch, double tolerance) {
  INFO("batch " << batch << ", R " << R << ", N " << N);
  const int rows = batch * R;
  const std::size_t n = static_cast<std::size_t>(rows) * N;
  const T epsilon = T(1e-5);
  const auto x = numbers<T>(n, 1, 1, 3), dy = numbers<T>(n, 2), gamma = numbers<T>(N, 3, 0.5, 2),
             beta = numbers<T>(N, 4), old = numbers<T>(n, 5);
  std::vector<double> want(n), want_dx(n), dgamma(N), dbeta(N), want_added(n);
  kernels::ref::layer_norm(widen(x).data(), rows, N, widen(gamma).data(), widen(beta).data(), epsilon, want.data());
  kernels::ref::layer_norm_backward(widen(x).data(), rows, N, widen(gamma).data(), epsilon, widen(dy).data(),
                                    want_dx.data(), dgamma.data(), dbeta.data());
  for (std::size_t i = 0; i < n; ++i) want_added[i] = old[i] + want_dx[i];
  SameBits same, same_dx, same_dgamma;
  for_each_cpu([&](Cpu& dev) {
    Guarded<T> y(n), m(rows), r(rows), dx(n), added(old), dg(N), db(N), work(kernels::layer_norm_workspace(N));
    const Span<T> w{work.data(), work.size()};
    const In<T, Batch, R> mean(m.data(), batch), rstd(r.data(), batch);
    layer_norm_forward(dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(gamma.data()), In<T, N>(beta.data()), epsilon,
                       Out<T, Batch, R, N>(y.data(), batch), Out<T, Batch, R>(m.data(), batch),
                       Out<T, Batch, R>(r.data(), batch));
    CHECK(difference(y, want, tolerance, tolerance) == "");
    CHECK(same(dev, y));
    layer_norm_backward(dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(gamma.data()), mean, rstd,
                        In<T, Batch, R, N>(dy.data(), batch), Into<T, Batch, R, N>(dx.data(), batch),
                        Into<T, N>(dg.data()), Into<T, N>(db.data()), w);
    CHECK(difference(dx, want_dx, tolerance, tolerance) == "");
    CHECK(difference(dg, dgamma, tolerance, tolerance * std::sqrt(rows)) == "");
    CHECK(difference(db, dbeta, tolerance, tolerance * std::sqrt(rows)) == "");
    CHECK((same_dx(dev, dx) && same_dgamma(dev, dg)));

    // dx may be dy; gradients may add or be unwanted; at inference nothing is kept.
    Guarded<T> in_place(dy), twice(db), again(n);
    layer_norm_backward(dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(gamma.data()), mean, rstd,
                        In<T, Batch, R, N>(in_place.data(), batch), Into<T, Batch, R, N>(in_place.data(), batch),
                        Into<T, N>(), Into<T, N>(twice.data(), 1, true), w);
    CHECK(same_dx(dev, in_place));
    for (int i = 0; i < N; ++i) CHECK(twice[i] == db[i] + db[i]);
    layer_norm_backward(dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(gamma.data()), mean, rstd,
                        In<T, Batch, R, N>(dy.data(), batch), Into<T, Batch, R, N>(added.data(), batch, true),
                        Into<T, N>(), Into<T, N>(), w);
    CHECK(difference(added, want_added, tolerance, tolerance) == "");
    layer_norm_forward(dev, In<T, Batch, R, N>(x.data(), batch), In<T, N>(gamma.data()), In<T, N>(beta.data()), epsilon,
                       Out<T, Batch, R, N>(again.data(), batch), {}, {});
    CHECK(same(dev, again));
    CHECK((y.intact() && m.intact() && r.intact() && dx.intact() && dg.intact() && db.intact() && work.intact()));
  });
}

}  // namespace

TEST_CASE("layer_norm agrees with the reference") {
  agrees<float, 1, 7>(1, 1e-5);
  agrees<float, 1, 8>(17, 1e-5);
  agrees<float, 3, 9>(17, 1e-5);
  agrees<float, 5, 31>(2, 1e-5);
  agrees<float, 1, 33>(200, 1e-5);
  agrees<float, 2, 1000>(65, 1e-5);
  agrees<double, 3, 9>(33, 1e-12);
}

TEST_CASE("layer_norm's gradients are those of its forward") {
  constexpr int B = 3, R = 2, N = 4, n = B * R * N;
  auto x = numbers<double>(n, 1), gamma = numbers<double>(N, 2, 0.5, 2), beta = numbers<double>(N, 3);
  const auto dy = numbers<double>(n, 4);
  std::vector<double> m(B * R), r(B * R), y(n), dx(n), dg(N), db(N), work(kernels::layer_norm_workspace(N));
  Cpu dev;
  const auto loss = [&] {
    layer_norm_forward(dev, In<double, Batch, R, N>(x.data(), B), In<double, N>(gamma.data()),
                       In<double, N>(beta.data()), 1e-5, Out<double, Batch, R, N>(y.data(), B),
                       Out<double, Batch, R>(m.data(), B), Out<double, Batch, R>(r.data(), B));
    double s = 0;
    for (int i = 0; i < n; ++i) s += y[i] * dy[i];
    return s;
  };
  loss();
  layer_norm_backward(dev, In<double, Batch, R, N>(x.data(), B), In<double, N>(gamma.data()),
                      In<double, Batch, R>(m.data(), B), In<double, Batch, R>(r.data(), B),
                      In<double, Batch, R, N>(dy.data(), B), Into<double, Batch, R, N>(dx.data(), B),
                      Into<double, N>(dg.data()), Into<double, N>(db.data()), Span<double>{work.data(), work.size()});
  const auto slope = [&](double& v) {
    const double at = v, h = 1e-5;
    v = at + h;
    const double up = loss();
    v = at - h;
    const double down = loss();
    v = at;
    return (up - down) / (2 * h);
  };
  for (int i = 0; i < n; ++i) CHECK_THAT(dx[i], WithinAbs(slope(x[i]), 1e-8));
  for (int i = 0; i < N; ++i) CHECK_THAT(dg[i], WithinAbs(slope(gamma[i]), 1e-8));
  for (int i = 0; i < N; ++i) CHECK_THAT(db[i], WithinAbs(slope(beta[i]), 1e-8));
}
