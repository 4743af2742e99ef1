// Cross-entropy: loss, gradient and accuracy against the definition; weights, smoothing, huge logits.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/cross_entropy.hpp"

#include "kernels/numbers.hpp"
#include "tenon/ref/cross_entropy.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, int C>
void agrees(int batch, double smoothing, bool weighted, double scale, double tolerance) {
  INFO("batch " << batch << ", classes " << C << ", smoothing " << smoothing << ", weighted " << weighted
                << ", logits to " << scale);
  const std::size_t n = static_cast<std::size_t>(batch) * C;
  const auto x = numbers<T>(n, 1, -scale, scale), weights = numbers<T>(C, 2, 0.25, 2);
  std::vector<std::int32_t> labels(batch);
  std::int64_t right = 0;
  for (int b = 0; b < batch; ++b) {
    labels[b] = (b * 7 + b / 3) % C;
    const T* const row = x.data() + b * C;
    right += std::max_element(row, row + C) - row == labels[b];
  }
  CrossEntropyOptions<T> options;
  options.label_smoothing = static_cast<T>(smoothing);
  options.class_weights = weighted ? weights.data() : nullptr;
  std::vector<double> want(n);
  const double want_loss =
      kernels::ref::cross_entropy(widen(x).data(), labels.data(), batch, C, static_cast<T>(smoothing),
                                  weighted ? widen(weights).data() : nullptr, want.data());
  SameBits same, same_loss;
  for_each_cpu([&](Cpu& dev) {
    Guarded<T> dx(n), in_place(x);
    LossSums sums, at_evaluation;
    cross_entropy(dev, In<T, Batch, C>(x.data(), batch), labels.data(), options, Out<T, Batch, C>(dx.data(), batch),
                  &sums);
    CHECK(std::abs(sums.loss() - want_loss) <= tolerance * (want_loss + 1));
    CHECK(sums.correct == right);
    CHECK(sums.count == batch);
    CHECK(difference(dx, want, tolerance, tolerance / batch) == "");
    CHECK(same(dev, dx));
    CHECK(same_loss(dev, sums.loss_sum));
    cross_entropy(dev, In<T, Batch, C>(x.data(), batch), labels.data(), options, Out<T, Batch, C>(nullptr, batch),
                  &at_evaluation);
    CHECK(at_evaluation.loss_sum == sums.loss_sum);
    CHECK(at_evaluation.correct == sums.correct);
    cross_entropy(dev, In<T, Batch, C>(in_place.data(), batch), labels.data(), options,
                  Out<T, Batch, C>(in_place.data(), batch), &sums);
    CHECK(same(dev, in_place));
    CHECK((dx.intact() && in_place.intact()));
  });
}

template <class T, int C>
void agrees(double tolerance) {
  for (const int batch : {1, 2, 17, 128, 2500}) {
    if (batch * C > 300000) continue;
    agrees<T, C>(batch, 0, false, 3, tolerance);
    agrees<T, C>(batch, 0.1, false, 3, tolerance);
    agrees<T, C>(batch, 0, true, 30, tolerance);
    agrees<T, C>(batch, 0.3, true, 3, tolerance);
  }
}

}  // namespace

TEST_CASE("cross_entropy agrees with its definition") {
  agrees<float, 2>(2e-6);
  agrees<float, 3>(2e-6);
  agrees<float, 8>(2e-6);
  agrees<float, 10>(2e-6);
  agrees<float, 17>(2e-6);
  agrees<float, 100>(3e-6);
  agrees<float, 1000>(1e-5);
  agrees<double, 10>(1e-13);
  agrees<double, 17>(1e-13);
}

TEST_CASE("cross_entropy is safe at logits of 1e4") {
  agrees<float, 10>(17, 0, false, 1e4, 1e-6);
  agrees<float, 10>(17, 0.1, true, 1e4, 1e-6);
  agrees<double, 10>(17, 0.1, true, 1e4, 1e-13);
}

TEST_CASE("a class that is ruled out costs nothing, and its row's other values stand") {
  const std::vector<float> x{1, -INFINITY, 2};
  const std::int32_t label = 2;
  for_each_cpu([&](Cpu& dev) {
    std::vector<float> dx(3);
    LossSums sums;
    cross_entropy(dev, In<float, Batch, 3>(x.data()), &label, {}, Out<float, Batch, 3>(dx.data()), &sums);
    CHECK(std::abs(sums.loss() - std::log1p(std::exp(-1.0))) < 1e-7);
    CHECK(dx[1] == 0);
  });
}

TEST_CASE("NaN among the logits makes the loss NaN and no row right") {
  for (int at = 0; at < 10; ++at) {
    std::vector<float> x(10, 0);
    x[at] = NAN;
    const std::int32_t label = 3;
    for_each_cpu([&](Cpu& dev) {
      LossSums sums;
      cross_entropy(dev, In<float, Batch, 10>(x.data()), &label, {}, Out<float, Batch, 10>(), &sums);
      CHECK(std::isnan(sums.loss_sum));
    });
  }
}

TEST_CASE("correct means that the label is the first of the greatest logits") {
  const std::vector<float> x{1, 5, 5, 5, 0, 0, 0, 0, 0, 5};
  for_each_cpu([&](Cpu& dev) {
    for (const std::int32_t label : {0, 1, 2, 9}) {
      LossSums sums;
      cross_entropy(dev, In<float, Batch, 10>(x.data()), &label, {}, Out<float, Batch, 10>(), &sums);
      CHECK(sums.correct == (label == 1));
    }
  });
}

TEST_CASE("cross_entropy's gradient is that of its loss") {
  constexpr int B = 3, C = 5;
  auto x = numbers<double>(B * C, 9, -2, 2);
  const auto weights = numbers<double>(C, 10, 0.5, 2);
  const std::vector<std::int32_t> labels{4, 0, 2};
  const CrossEntropyOptions<double> options{0.2, weights.data()};
  Cpu dev;
  std::vector<double> dx(B * C);
  LossSums sums;
  cross_entropy(dev, In<double, Batch, C>(x.data(), B), labels.data(), options, Out<double, Batch, C>(dx.data(), B),
                &sums);
  for (int i = 0; i < B * C; ++i) {
    const double at = x[i], h = 1e-5;
    double f[2];
    for (int side = 0; side < 2; ++side) {
      x[i] = at + (side ? h : -h);
      cross_entropy(dev, In<double, Batch, C>(x.data(), B), labels.data(), options, Out<double, Batch, C>(), &sums);
      f[side] = sums.loss();
    }
    x[i] = at;
    CHECK_THAT(dx[i], WithinAbs((f[1] - f[0]) / (2 * h), 1e-9));
  }
}
