// BatchNorm: statistics, output, running statistics and gradients against the reference; hard numbers.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/batch_norm.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/batch_norm.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, int S, int C>
void agrees(int batch, double centre, double tolerance) {
  INFO("batch " << batch << ", S " << S << ", C " << C << ", centre " << centre);
  const int rows = batch * S;
  const std::size_t n = static_cast<std::size_t>(rows) * C;
  const T epsilon = T(1e-5), momentum = T(0.1);
  const auto x = numbers<T>(n, 1, centre - 1, centre + 1), dy = numbers<T>(n, 2), gamma = numbers<T>(C, 3, 0.5, 2),
             beta = numbers<T>(C, 4), old = numbers<T>(n, 5), old_mean = numbers<T>(C, 6),
             old_var = numbers<T>(C, 7, 0.5, 1);
  std::vector<double> want(n), mean(C), var(C), want_dx(n), dgamma(C), dbeta(C), run_mean(C), run_var(C), want_added(n),
      inference(n);
  kernels::ref::batch_norm(widen(x).data(), rows, C, widen(gamma).data(), widen(beta).data(), epsilon, want.data(),
                           mean.data(), var.data());
  kernels::ref::batch_norm_backward(widen(x).data(), rows, C, widen(gamma).data(), epsilon, widen(dy).data(),
                                    want_dx.data(), dgamma.data(), dbeta.data());
  for (int c = 0; c < C; ++c) {
    run_mean[c] = 0.9 * old_mean[c] + 0.1 * mean[c];
    run_var[c] = 0.9 * old_var[c] + 0.1 * var[c] * rows / (rows > 1 ? rows - 1 : 1);
  }
  for (std::size_t i = 0; i < n; ++i) {
    want_added[i] = old[i] + want_dx[i];
    inference[i] = (x[i] - static_cast<double>(old_mean[i % C])) /
                       std::sqrt(static_cast<double>(old_var[i % C]) + epsilon) * gamma[i % C] +
                   beta[i % C];
  }
  const double sums = tolerance * std::sqrt(rows);
  SameBits same, same_dx, same_dgamma, same_run;
  for_each_cpu([&](Cpu& dev) {
    Guarded<T> y(n), dx(n), added(old), m(C), r(C), rm(old_mean), rv(old_var), dg(C), db(C),
        work(kernels::batch_norm_workspace(C));
    const Span<T> w{work.data(), work.size()};
    batch_norm_forward_training(dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(gamma.data()), In<T, C>(beta.data()),
                                epsilon, momentum, Out<T, C>(rm.data()), Out<T, C>(rv.data()), Out<T, C>(m.data()),
                                Out<T, C>(r.data()), Out<T, Batch, S, C>(y.data(), batch), w);
    CHECK(difference(y, want, tolerance, tolerance) == "");
    CHECK(difference(m, mean, tolerance / 10, tolerance / 10) == "");
    CHECK(difference(rm, run_mean, tolerance / 10, tolerance / 10) == "");
    CHECK(difference(rv, run_var, tolerance) == "");
    CHECK((same(dev, y) && same_run(dev, rv)));

    batch_norm_backward(dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(gamma.data()), In<T, C>(m.data()),
                        In<T, C>(r.data()), In<T, Batch, S, C>(dy.data(), batch),
                        Into<T, Batch, S, C>(dx.data(), batch), Into<T, C>(dg.data()), Into<T, C>(db.data()), w);
    CHECK(difference(dx, want_dx, tolerance, tolerance) == "");
    CHECK(difference(dg, dgamma, tolerance, sums) == "");
    CHECK(difference(db, dbeta, tolerance, sums) == "");
    CHECK((same_dx(dev, dx) && same_dgamma(dev, dg)));

    // dx may be dy, and gradients may add or be unwanted.
    Guarded<T> in_place(dy), twice(dg);
    batch_norm_backward(dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(gamma.data()), In<T, C>(m.data()),
                        In<T, C>(r.data()), In<T, Batch, S, C>(in_place.data(), batch),
                        Into<T, Batch, S, C>(in_place.data(), batch), Into<T, C>(twice.data(), 1, true), Into<T, C>(),
                        w);
    CHECK(same_dx(dev, in_place));
    for (int c = 0; c < C; ++c) CHECK(twice[c] == dg[c] + dg[c]);
    batch_norm_backward(dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(gamma.data()), In<T, C>(m.data()),
                        In<T, C>(r.data()), In<T, Batch, S, C>(dy.data(), batch),
                        Into<T, Batch, S, C>(added.data(), batch, true), Into<T, C>(), Into<T, C>(), w);
    CHECK(difference(added, want_added, tolerance, tolerance) == "");

    batch_norm_forward_inference(dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(gamma.data()),
                                 In<T, C>(beta.data()), epsilon, In<T, C>(old_mean.data()), In<T, C>(old_var.data()),
                                 Out<T, Batch, S, C>(y.data(), batch));
    CHECK(difference(y, inference, tolerance, tolerance) == "");
    CHECK((y.intact() && dx.intact() && m.intact() && r.intact() && dg.intact() && db.intact() && work.intact()));
  });
}

}  // namespace

TEST_CASE("batch_norm agrees with the reference") {
  agrees<float, 1, 1>(2, 0, 1e-5);
  agrees<float, 1, 7>(17, 0, 1e-5);
  agrees<float, 1, 33>(64, 0, 1e-5);
  agrees<float, 1, 32>(65, 0, 1e-5);
  agrees<float, 49, 16>(17, 0, 1e-5);
  agrees<float, 49, 9>(128, 0, 1e-5);
  agrees<float, 196, 32>(33, 0, 1e-5);
  agrees<double, 49, 9>(33, 0, 1e-12);
}

TEST_CASE("batch_norm keeps its digits when the mean is a thousand deviations") {
  // The inputs themselves hold the deviation to 1e-4 only; the sum of squares alone would lose it all.
  agrees<float, 49, 9>(65, 1000, 2e-4);
}

TEST_CASE("batch_norm of equal values is beta") {
  for_each_cpu([&](Cpu& dev) {
    std::vector<float> x(50 * 3, 123.456f), gamma(3, 2), beta{1, 2, 3}, rm(3), rv(3), m(3), r(3), y(50 * 3),
        work(kernels::batch_norm_workspace(3));
    batch_norm_forward_training(dev, In<float, Batch, 1, 3>(x.data(), 50), In<float, 3>(gamma.data()),
                                In<float, 3>(beta.data()), 1e-5f, 0.1f, Out<float, 3>(rm.data()),
                                Out<float, 3>(rv.data()), Out<float, 3>(m.data()), Out<float, 3>(r.data()),
                                Out<float, Batch, 1, 3>(y.data(), 50), Span<float>{work.data(), work.size()});
    for (int i = 0; i < 150; ++i) CHECK(y[i] == beta[i % 3]);
  });
}

TEST_CASE("batch_norm's gradients are those of its forward") {
  constexpr int B = 4, S = 2, C = 3, n = B * S * C;
  auto x = numbers<double>(n, 1), gamma = numbers<double>(C, 2, 0.5, 2), beta = numbers<double>(C, 3);
  const auto dy = numbers<double>(n, 4);
  std::vector<double> rm(C), rv(C), m(C), r(C), y(n), dx(n), dg(C), db(C), work(kernels::batch_norm_workspace(C));
  Cpu dev;
  const auto loss = [&] {
    batch_norm_forward_training(dev, In<double, Batch, S, C>(x.data(), B), In<double, C>(gamma.data()),
                                In<double, C>(beta.data()), 1e-5, 0.1, Out<double, C>(rm.data()),
                                Out<double, C>(rv.data()), Out<double, C>(m.data()), Out<double, C>(r.data()),
                                Out<double, Batch, S, C>(y.data(), B), Span<double>{work.data(), work.size()});
    double s = 0;
    for (int i = 0; i < n; ++i) s += y[i] * dy[i];
    return s;
  };
  loss();
  batch_norm_backward(dev, In<double, Batch, S, C>(x.data(), B), In<double, C>(gamma.data()), In<double, C>(m.data()),
                      In<double, C>(r.data()), In<double, Batch, S, C>(dy.data(), B),
                      Into<double, Batch, S, C>(dx.data(), B), Into<double, C>(dg.data()), Into<double, C>(db.data()),
                      Span<double>{work.data(), work.size()});
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
  for (int c = 0; c < C; ++c) CHECK_THAT(dg[c], WithinAbs(slope(gamma[c]), 1e-8));
  for (int c = 0; c < C; ++c) CHECK_THAT(db[c], WithinAbs(slope(beta[c]), 1e-8));
}
