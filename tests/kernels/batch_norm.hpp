// BatchNorm: statistics, output, running statistics and gradients against the reference; large means, equal values and
// denormals; a stopped step. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/batch_norm.hpp"

namespace {

/// The arrays of a batch on the device, and the three calls.
template <class T, int S, int C>
struct Case {
  Device* dev;
  int batch;
  One<StepState> step;
  Memory<T> x, dy, gamma, beta, running_mean, running_var, mean, rstd, y, dx, dgamma, dbeta, work;

  Case(Device& on, int b, std::size_t offset, const std::vector<T>& from_x, const std::vector<T>& from_dy,
       const std::vector<T>& from_gamma, const std::vector<T>& from_beta, const std::vector<T>& old_mean,
       const std::vector<T>& old_var)
      : dev(&on),
        batch(b),
        step(on),
        x(from_x, offset),
        dy(from_dy, offset),
        gamma(from_gamma, offset),
        beta(from_beta, offset),
        running_mean(old_mean),
        running_var(old_var),
        mean(C),
        rstd(C),
        y(from_x.size(), T(-77), offset),
        dx(from_x.size(), T(-77), offset),
        dgamma(C),
        dbeta(C),
        work(workspace(C)) {}

  void train(bool affine = true) {
    batch_norm_forward_training(*dev, step, In<T, Batch, S, C>(x.data(), batch),
                                In<T, C>(affine ? gamma.data() : nullptr), In<T, C>(affine ? beta.data() : nullptr),
                                T(1e-5), T(0.1), Out<T, C>(running_mean.data()), Out<T, C>(running_var.data()),
                                Out<T, C>(mean.data()), Out<T, C>(rstd.data()), Out<T, Batch, S, C>(y.data(), batch),
                                work.span());
  }
  void infer(bool affine = true) {
    batch_norm_forward_inference(*dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(affine ? gamma.data() : nullptr),
                                 In<T, C>(affine ? beta.data() : nullptr), T(1e-5), In<T, C>(running_mean.data()),
                                 In<T, C>(running_var.data()), Out<T, Batch, S, C>(y.data(), batch));
  }
  void backward(const T* from, Into<T, Batch, S, C> to, Into<T, C> to_gamma, Into<T, C> to_beta, bool affine = true) {
    batch_norm_backward(*dev, In<T, Batch, S, C>(x.data(), batch), In<T, C>(affine ? gamma.data() : nullptr),
                        In<T, C>(mean.data()), In<T, C>(rstd.data()), In<T, Batch, S, C>(from, batch), to, to_gamma,
                        to_beta, work.span());
  }
  Into<T, Batch, S, C> into(Memory<T>& to, bool add = false) { return Into<T, Batch, S, C>(to.data(), batch, add); }
  bool intact() const {
    return x.intact() && dy.intact() && running_mean.intact() && running_var.intact() && mean.intact() &&
           rstd.intact() && y.intact() && dx.intact() && dgamma.intact() && dbeta.intact();
  }
};

template <class T, int S, int C>
void agrees(int batch, double centre, double tolerance, std::size_t offset = 0, bool every_way = true) {
  INFO("batch " << batch << ", S " << S << ", C " << C << ", centre " << centre << ", offset " << offset);
  const int rows = batch * S;
  const std::size_t n = static_cast<std::size_t>(rows) * C;
  const T epsilon = T(1e-5);
  const auto x = numbers<T>(n, 1, centre - 1, centre + 1), dy = numbers<T>(n, 2), gamma = numbers<T>(C, 3, 0.5, 2),
             beta = numbers<T>(C, 4), old = numbers<T>(n, 5), old_mean = numbers<T>(C, 6),
             old_var = numbers<T>(C, 7, 0.5, 1);
  std::vector<double> want(n), mean(C), var(C), want_dx(n), dgamma(C), dbeta(C), run_mean(C), run_var(C), want_added(n),
      inference(n);
  kernels::ref::batch_norm(widen(x).data(), rows, C, widen(gamma).data(), widen(beta).data(), epsilon, want.data(),
                           mean.data(), var.data());
  kernels::ref::batch_norm_backward(widen(x).data(), rows, C, widen(gamma).data(), epsilon, widen(dy).data(),
                                    want_dx.data(), dgamma.data(), dbeta.data());
  for (std::size_t c = 0; c < C; ++c) {
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
  SameBitsOn<Device> same, same_gradients, same_running;
  const auto run = [&](Device& dev) {
    Case<T, S, C> the(dev, batch, offset, x, dy, gamma, beta, old_mean, old_var);
    the.infer();
    CHECK(difference(the.y.read(), inference, tolerance, tolerance) == "");
    the.train();
    CHECK(difference(the.running_mean.read(), run_mean, tolerance / 10, tolerance / 10) == "");
    CHECK(difference(the.running_var.read(), run_var, tolerance) == "");
    CHECK(difference(the.mean.read(), mean, tolerance / 10, tolerance / 10) == "");
    CHECK(difference(the.y.read(), want, tolerance, tolerance) == "");
    CHECK((same(dev, the.y.read()) && same_running(dev, the.running_var.read())));

    the.backward(the.dy.data(), the.into(the.dx), Into<T, C>(the.dgamma.data()), Into<T, C>(the.dbeta.data()));
    const auto got_dx = the.dx.read(), got_dgamma = the.dgamma.read(), got_dbeta = the.dbeta.read();
    CHECK(same_gradients(dev, joined(got_dx, got_dgamma, got_dbeta)));
    CHECK(difference(got_dx, want_dx, tolerance, tolerance) == "");
    CHECK(difference(got_dgamma, dgamma, tolerance, sums) == "");
    CHECK(difference(got_dbeta, dbeta, tolerance, sums) == "");

    // dx may be dy. Gradients may be accumulated or omitted.
    Memory<T> in_place(dy, offset), added(old, offset);
    the.backward(in_place.data(), the.into(in_place), Into<T, C>(the.dgamma.data(), 1, true), Into<T, C>());
    CHECK((in_place.read() == got_dx));  // double parentheses: Catch must not print a million numbers
    the.backward(the.dy.data(), {}, Into<T, C>(), Into<T, C>(the.dbeta.data(), 1, true));
    CHECK((the.dgamma.read() == doubled(got_dgamma) && the.dbeta.read() == doubled(got_dbeta)));
    the.backward(the.dy.data(), the.into(added, true), Into<T, C>(), Into<T, C>());
    CHECK(difference(added.read(), want_added, tolerance, tolerance) == "");
    CHECK((the.intact() && in_place.intact() && added.intact()));
  };
  if (every_way) return Ways<Device>::each(run);
  Device dev = device<Device>();
  run(dev);
}

}  // namespace

TEST_CASE("batch_norm agrees with the reference") {
  agrees<float, 1, 1>(2, 0, 1e-5);
  agrees<float, 1, 1>(4096, 0, 1e-5);
  agrees<float, 1, 7>(17, 0, 1e-5);
  agrees<float, 1, 33>(64, 0, 1e-5);
  agrees<float, 1, 32>(65, 0, 1e-5);
  agrees<float, 1, 32>(65, 0, 1e-5, 1);
  agrees<float, 1, 36>(8, 0, 1e-5);
  agrees<float, 1, 300>(9, 0, 1e-5);
  agrees<float, 49, 16>(17, 0, 1e-5);
  agrees<double, 1, 18>(33, 0, 1e-12);
}

TEST_CASE("batch_norm agrees with the reference, for more rows than Cuda takes in one launch") {
  agrees<float, 1, 1>(4097, 0, 1e-5);
  agrees<float, 49, 9>(many<Device>(128, 11), 0, 1e-5);
  agrees<float, 196, 32>(many<Device>(33, 6), 0, 1e-5);
  agrees<float, 196, 32>(6, 0, 1e-5, 1);
  agrees<float, 67, 132>(16, 0, 1e-5);
  agrees<double, 49, 9>(33, 0, 1e-12);
  agrees<double, 49, 34>(13, 0, 1e-12, 1);
}

TEST_CASE("batch_norm of more than the most chunks") {
  agrees<float, 1, 31>(64 * 512 + 1, 0, 1e-5, 0, false);  // chunks of 128 rows, the last one of 1
}

TEST_CASE("batch_norm keeps its digits when the mean is a thousand deviations") {
  // The inputs represent the deviation only to 1e-4. A plain sum of squares would lose all its digits.
  agrees<float, 49, 9>(many<Device>(65, 17), 1000, 2e-4);
  agrees<float, 1, 8>(17, 1000, 2e-4);
}

TEST_CASE("batch_norm's variance does not feel the mean") {
  Device dev = device<Device>();
  // The rows are alternately 10000 and 10001: mean 10000.5 and variance 0.25, both exact.
  for (const int batch : {2, 50, 6000}) {
    INFO("batch " << batch);
    const std::size_t n = static_cast<std::size_t>(batch) * 4;
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = i / 4 % 2 ? 10001.f : 10000.f;
    const std::vector<float> some(4, 1), none(4, 0);
    Case<float, 1, 4> the(dev, batch, 0, x, x, some, none, none, none);
    the.train();
    CHECK(the.mean.read() == std::vector<float>(4, 10000.5f));
    for (const float r : the.rstd.read()) CHECK(std::abs(r - 1 / std::sqrt(0.25 + 1e-5)) < 1e-6);
    for (const float v : the.running_var.read()) CHECK(std::abs(v - 0.1 * 0.25 * batch / (batch - 1)) < 1e-7);
  }
}

TEST_CASE("batch_norm of equal values is beta") {
  Device dev = device<Device>();
  for (const int batch : {1, 50, 2000}) {
    INFO("batch " << batch);
    const std::size_t n = static_cast<std::size_t>(batch) * 3;
    const std::vector<float> x(n, 123.456f), gamma(3, 2), beta{1, 2, 3}, none(3);
    Case<float, 1, 3> the(dev, batch, 0, x, x, gamma, beta, none, none);
    the.train();
    const auto y = the.y.read();
    for (std::size_t i = 0; i < n; ++i)
      if (y[i] != beta[i % 3]) FAIL("at " << i << ": " << y[i]);
  }
}

TEST_CASE("batch_norm without gamma and beta is that of 1 and 0") {
  Device dev = device<Device>();
  for (const int batch : {40, 500}) {
    const std::size_t n = static_cast<std::size_t>(batch) * 9;
    const auto x = numbers<float>(n, 1), dy = numbers<float>(n, 2);
    const std::vector<float> ones(9, 1), zeros(9, 0);
    Case<float, 1, 9> with(dev, batch, 0, x, dy, ones, zeros, zeros, ones),
        without(dev, batch, 0, x, dy, x, x, zeros, ones);
    with.infer();
    without.infer(false);
    CHECK(with.y.read() == without.y.read());
    with.train();
    without.train(false);
    CHECK(with.y.read() == without.y.read());
    with.backward(with.dy.data(), with.into(with.dx), Into<float, 9>(), Into<float, 9>());
    without.backward(without.dy.data(), without.into(without.dx), Into<float, 9>(), Into<float, 9>(), false);
    CHECK(with.dx.read() == without.dx.read());
  }
}

TEST_CASE("batch_norm's gradients are those of its forward") {
  Device dev = device<Device>();
  constexpr int B = 4, S = 2, C = 3, n = B * S * C;
  const auto x = numbers<double>(n, 1), gamma = numbers<double>(C, 2, 0.5, 2), beta = numbers<double>(C, 3);
  const auto dy = numbers<double>(n, 4);
  const std::vector<double> none(C);
  const auto loss = [&](const std::vector<double>& at, const std::vector<double>& g, const std::vector<double>& b) {
    Case<double, S, C> the(dev, B, 0, at, dy, g, b, none, none);
    the.train();
    const auto y = the.y.read();
    double s = 0;
    for (std::size_t i = 0; i < n; ++i) s += y[i] * dy[i];
    return s;
  };
  Case<double, S, C> the(dev, B, 0, x, dy, gamma, beta, none, none);
  the.train();
  the.backward(the.dy.data(), the.into(the.dx), Into<double, C>(the.dgamma.data()), Into<double, C>(the.dbeta.data()));
  check_gradient(the.dx.read(), x, 1e-8, [&](const auto& at) { return loss(at, gamma, beta); });
  check_gradient(the.dgamma.read(), gamma, 1e-8, [&](const auto& at) { return loss(x, at, beta); });
  check_gradient(the.dbeta.read(), beta, 1e-8, [&](const auto& at) { return loss(x, gamma, at); });
}

TEST_CASE("batch_norm moves no running statistics where the step is stopped") {
  for (const int batch : {40, 500}) {
    INFO("batch " << batch);
    const auto x = numbers<float>(static_cast<std::size_t>(batch) * 9, 1);
    const std::vector<float> ones(9, 1), zeros(9, 0);
    Ways<Device>::each([&](Device& dev) {
      Case<float, 1, 9> the(dev, batch, 0, x, x, ones, zeros, zeros, ones);
      the.train();
      const auto y = the.y.read();
      for (const std::uint32_t stopped : {0u, 1u, 2u, 0u}) {
        StepState now;
        now.stopped = stopped;
        the.step.write(now);
        const auto mean = the.running_mean.read(), var = the.running_var.read();
        the.train();
        CHECK((the.running_mean.read() == mean) == (stopped != 0));
        CHECK((the.running_var.read() == var) == (stopped != 0));
        CHECK(the.y.read() == y);
      }
    });
  }
}

TEMPLATE_TEST_CASE("running statistics hold no denormals", "", float, double) {
  using T = TestType;
  const T least = std::numeric_limits<T>::min();
  const std::vector<T> mean0{least, -least, least * 2, -least * 2, 1}, var0{least, least / 2, least * 2, 0, 1};
  Ways<Device>::each([&](Device& dev) {
    // Channels that are 0 in the whole batch, such as black borders.
    Case<T, 2, 5> the(dev, 4, 0, std::vector<T>(40, 0), std::vector<T>(40, 0), std::vector<T>(5, 1),
                      std::vector<T>(5, 0), mean0, var0);
    the.train();
    const auto mean = the.running_mean.read(), var = the.running_var.read();
    for (const std::size_t c : {0u, 1u}) {
      CHECK(is_plus_zero(mean[c]));
      CHECK(is_plus_zero(var[c]));
    }
    CHECK((mean[2] > least && mean[3] < -least && mean[4] > T(0.8) && var[2] > least && var[4] > T(0.8)));
    CHECK(the.intact());
  });
}
