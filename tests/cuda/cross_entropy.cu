// Cross-entropy: loss, gradient and accuracy against the definition, for rows of a thread and of a warp, in one block and
// in several; weights, smoothing, huge logits, labels that are none; and the sums of a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/cross_entropy.cuh"

#include "cuda/recorded.hpp"
#include "tenon/losses/cross_entropy.hpp"
#include "tenon/ref/cross_entropy.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class T, int C>
LossSums loss_of(OnDevice<T>& x, OnDevice<std::int32_t>& labels, const CrossEntropyOptions<T>& options, T* dx) {
  const int batch = static_cast<int>(labels.size());
  LossSums sums;
  cross_entropy(cuda(), In<T, Batch, C>(x.data(), batch), labels.data(), options, Out<T, Batch, C>(dx, batch), &sums);
  return sums;
}

std::vector<std::int32_t> some_labels(int batch, int classes) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(batch));
  for (int b = 0; b < batch; ++b) labels[static_cast<std::size_t>(b)] = (b * 7 + b / 3) % classes;
  return labels;
}

template <class T, int C>
void agrees(int batch, double smoothing, bool weighted, double scale, double tolerance) {
  INFO("batch " << batch << ", classes " << C << ", smoothing " << smoothing << ", weighted " << weighted
                << ", logits to " << scale);
  const std::size_t n = static_cast<std::size_t>(batch) * C;
  const auto x = numbers<T>(n, 1, -scale, scale), weights = numbers<T>(C, 2, 0.25, 2);
  const auto labels = some_labels(batch, C);
  std::int64_t right = 0;
  double divisor = 0;
  for (int b = 0; b < batch; ++b) {
    const T* const row = x.data() + b * C;
    right += std::max_element(row, row + C) - row == labels[b];
    divisor += weighted ? static_cast<double>(weights[labels[b]]) : 1;
  }
  CrossEntropyOptions<T> options;
  options.label_smoothing = static_cast<T>(smoothing);
  options.class_weights = weighted ? weights.data() : nullptr;
  std::vector<double> want(n);
  const double want_loss =
      kernels::ref::cross_entropy(widen(x).data(), labels.data(), batch, C, static_cast<T>(smoothing),
                                  weighted ? widen(weights).data() : nullptr, want.data());

  OnDevice<T> dx(n), on_device(x), in_place(x);
  OnDevice<std::int32_t> y(labels);
  LossSums sums;
  CHECK(same_bits_always([&] {
    sums = loss_of<T, C>(on_device, y, options, dx.data());
    auto all = widen(dx.read());
    all.push_back(sums.loss_sum);
    return all;
  }));
  CHECK(std::abs(sums.loss() - want_loss) <= tolerance * (want_loss + 1));
  CHECK(std::abs(sums.weight_sum - divisor) <= 1e-12 * divisor);
  CHECK(sums.correct == right);
  CHECK(sums.count == batch);
  CHECK(difference(dx.read(), want, tolerance, tolerance / batch) == "");
  CHECK(dx.intact());

  const LossSums at_evaluation = loss_of<T, C>(on_device, y, options, nullptr);
  CHECK(at_evaluation.loss_sum == sums.loss_sum);
  CHECK(at_evaluation.correct == sums.correct);
  loss_of<T, C>(in_place, y, options, in_place.data());
  CHECK(in_place.read() == dx.read());
  CHECK(in_place.intact());
}

template <class T, int C>
void agrees(double tolerance, std::initializer_list<int> batches) {
  for (const int batch : batches) {
    agrees<T, C>(batch, 0, false, 3, tolerance);
    agrees<T, C>(batch, 0.1, false, 3, tolerance);
    agrees<T, C>(batch, 0, true, 30, tolerance);
    agrees<T, C>(batch, 0.3, true, 3, tolerance);
  }
}

}  // namespace

TEST_CASE("cuda: cross_entropy agrees with its definition, a thread a row") {
  agrees<float, 2>(2e-6, {1, 31, 33});
  agrees<float, 3>(2e-6, {17});
  agrees<float, 10>(2e-6, {1, 2, 17, 128, 1024, 1025, 2500});
  agrees<float, 17>(2e-6, {65});
  agrees<float, 32>(3e-6, {1, 300});  // a tile and a part of the next
  agrees<double, 10>(1e-13, {17, 600, 1100});
  agrees<double, 32>(1e-13, {129});
}

TEST_CASE("cuda: cross_entropy agrees with its definition, a warp a row") {
  agrees<float, 33>(3e-6, {1, 2, 33, 128, 129});
  agrees<float, 100>(3e-6, {31});
  agrees<float, 512>(1e-5, {3});
  agrees<double, 256>(1e-13, {3});
}

TEST_CASE("cuda: cross_entropy reads wide rows again, and says where weights are too many") {
  agrees<float, 513>(2, 0.1, false, 3, 1e-5);
  agrees<double, 257>(3, 0.1, false, 3, 1e-13);
  agrees<float, 1000>(3, 0, false, 3, 1e-5);
  agrees<float, 1000>(130, 0.1, false, 3, 1e-5);
  const std::vector<float> weights(1000, 1);
  OnDevice<float> x(std::size_t{1000});
  OnDevice<std::int32_t> y(std::vector<std::int32_t>{3});
  CHECK_THROWS_WITH((loss_of<float, 1000>(x, y, {0, weights.data()}, nullptr)),
                    "[cross_entropy] expected class weights of at most 512 classes on a GPU, got 1000");
}

TEST_CASE("cuda: cross_entropy is safe at logits of 1e4") {
  agrees<float, 10>(17, 0, false, 1e4, 1e-6);
  agrees<float, 10>(17, 0.1, true, 1e4, 1e-6);
  agrees<float, 40>(17, 0.1, true, 1e4, 1e-6);
  agrees<double, 10>(17, 0.1, true, 1e4, 1e-13);
}

TEST_CASE("cuda: a class that is ruled out costs nothing, and its row's other values stand") {
  OnDevice<std::int32_t> y(std::vector<std::int32_t>{2});
  OnDevice<float> x(std::vector<float>{1, -INFINITY, 2}), dx(std::size_t{3});
  const LossSums sums = loss_of<float, 3>(x, y, {}, dx.data());
  CHECK(std::abs(sums.loss() - std::log1p(std::exp(-1.0))) < 1e-7);
  CHECK(dx.read()[1] == 0);
  std::vector<float> row(40, -INFINITY);
  row[0] = 1, row[2] = 2;
  OnDevice<float> wide(row), dwide(std::size_t{40});
  const LossSums more = loss_of<float, 40>(wide, y, {}, dwide.data());
  CHECK(std::abs(more.loss() - std::log1p(std::exp(-1.0))) < 1e-7);
  CHECK(dwide.read()[39] == 0);
}

TEST_CASE("cuda: NaN among the logits makes the loss NaN and no row right") {
  OnDevice<std::int32_t> y(std::vector<std::int32_t>{3});
  for (std::size_t at = 0; at < 10; ++at) {
    std::vector<float> row(10, 0), wide(70, 0);
    row[3] = wide[3] = 1;
    row[at] = wide[7 * at] = NAN;
    OnDevice<float> x(row), z(wide);
    const LossSums sums = loss_of<float, 10>(x, y, {}, nullptr), more = loss_of<float, 70>(z, y, {}, nullptr);
    CHECK((std::isnan(sums.loss_sum) && sums.correct == 0));
    CHECK((std::isnan(more.loss_sum) && more.correct == 0));
  }
}

TEST_CASE("cuda: correct means that the label is the first of the greatest logits") {
  std::vector<float> row{1, 5, 5, 5, 0, 0, 0, 0, 0, 5}, wide(row);
  wide.resize(70);
  wide[69] = wide[33] = 5;
  OnDevice<float> x(row), z(wide);
  for (const std::int32_t label : {0, 1, 2, 9}) {
    OnDevice<std::int32_t> y(std::vector<std::int32_t>{label});
    CHECK(loss_of<float, 10>(x, y, {}, nullptr).correct == (label == 1));
    CHECK(loss_of<float, 70>(z, y, {}, nullptr).correct == (label == 1));
  }
}

TEMPLATE_TEST_CASE_SIG("cuda: a label that is no class makes the loss NaN, and leaves the other rows' gradients", "",
                       ((int C), C), 10, 50) {
  for (const std::int32_t wrong : {-1, C, INT_MAX, INT_MIN})
    for (const bool weighted : {false, true}) {
      INFO("label " << wrong << ", weighted " << weighted);
      const std::vector<float> weights(C, 0.5f);
      const CrossEntropyOptions<float> options{0.1f, weighted ? weights.data() : nullptr};
      auto labels = some_labels(5, C);
      OnDevice<float> x(numbers<float>(5 * C, 3)), dx(std::size_t{5 * C}), want(std::size_t{5 * C});
      OnDevice<std::int32_t> good(labels);
      loss_of<float, C>(x, good, options, want.data());
      labels[2] = wrong;
      OnDevice<std::int32_t> bad(labels);
      const LossSums sums = loss_of<float, C>(x, bad, options, dx.data());
      CHECK(std::isnan(sums.loss()));
      const auto got = dx.read(), all = want.read();
      const double scale = weighted ? 5.0 / 4 : 1;  // the weight of the label is missing in the mean's divisor
      for (std::size_t i = 0; i < got.size(); ++i) {
        const bool wrong_row = i / C == 2;
        CHECK_THAT(got[i], WithinAbs(wrong_row ? 0 : all[i] * scale, 1e-7));
        if (wrong_row) CHECK(got[i] == 0);
      }
    }
}

TEST_CASE("cuda: cross_entropy's gradient is that of its loss") {
  constexpr int B = 3, C = 5;
  const auto x = numbers<double>(B * C, 9, -2, 2);
  const auto weights = numbers<double>(C, 10, 0.5, 2);
  OnDevice<std::int32_t> y(std::vector<std::int32_t>{4, 0, 2});
  const CrossEntropyOptions<double> options{0.2, weights.data()};
  OnDevice<double> on_device(x), dx(x.size());
  loss_of<double, C>(on_device, y, options, dx.data());
  check_gradient(dx.read(), x, 1e-9, [&](const auto& at) {
    OnDevice<double> moved(at);
    return loss_of<double, C>(moved, y, options, nullptr).loss();
  });
}

TEST_CASE("cuda: a recorded step adds its loss to the epoch's, until one is not finite") {
  constexpr int C = 10;
  const std::vector<float> weights{1, 2, 3, 1, 2, 3, 1, 2, 3, 1};
  for (const int batch : {5, 1500})
    for (const bool weighted : {false, true}) {
      INFO("batch " << batch << ", weighted " << weighted);
      const CrossEntropyOptions<float> options{0, weighted ? weights.data() : nullptr};
      const std::size_t n = static_cast<std::size_t>(batch) * C;
      auto logits = numbers<float>(n, 3);
      OnDevice<float> x(logits), dx(n), want_dx(n);
      logits[n - 1] = NAN;
      OnDevice<float> bad(logits);
      OnDevice<std::int32_t> y(some_labels(batch, C));
      const LossSums one = loss_of<float, C>(x, y, options, want_dx.data());
      const Recorded step({0, 41, 0, 0.1, 1, 0, 0}, {1, 2, 3, 4});
      LossSums here = loss_of<float, C>(x, y, options, dx.data());
      CHECK(here.count == 0);  // nothing was brought
      CHECK(dx.read() == want_dx.read());
      const LossSums sums = step.sums();
      CHECK(sums.loss_sum == one.loss_sum);
      CHECK(sums.weight_sum == one.weight_sum);
      CHECK(sums.correct == one.correct);
      CHECK(sums.count == batch);
      loss_of<float, C>(bad, y, options, dx.data());
      CHECK(std::isnan(step.sums().loss_sum));
    }
}

TEST_CASE("cuda: CrossEntropy, the loss, takes labels that the host cannot read") {
  CrossEntropy loss;
  loss.label_smoothing = 0.1f;
  loss.class_weights = {1, 2, 3};
  OnDevice<float> x(numbers<float>(21, 1)), dx(std::size_t{21});
  OnDevice<std::int32_t> y(some_labels(7, 3)), bad(std::vector<std::int32_t>(7, 3));
  const In<float, Batch, 3> logits(x.data(), 7);
  const Out<float, Batch, 3> gradient(dx.data(), 7);
  const std::vector<float> weights(loss.class_weights);
  CHECK(loss(cuda(), logits, y.data(), gradient).loss_sum ==
        loss_of<float, 3>(x, y, {0.1f, weights.data()}, nullptr).loss_sum);
  CHECK(std::isnan(loss(cuda(), logits, bad.data(), gradient).loss()));
}
