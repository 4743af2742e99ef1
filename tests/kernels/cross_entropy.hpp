// Cross-entropy: loss, gradient of the mean and of the sum and accuracy against the definition; class weights, label
// smoothing, huge logits. The sizes cover rows that on Cuda belong to a thread or to a warp, in one block and in
// several. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/cross_entropy.hpp"

namespace {

template <class T, int C>
LossSums loss_of(Device& dev, Memory<T>& x, Memory<std::int32_t>& labels, const kernels::CrossEntropyOptions& options,
                 T* dx, Reduction reduction = Reduction::mean) {
  const int batch = static_cast<int>(labels.size());
  One<LossSums> sums(dev);
  cross_entropy(dev, In<T, Batch, C>(x.data(), batch), labels.data(), options, reduction, Out<T, Batch, C>(dx, batch),
                sums.data());
  return sums.read();
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
  const auto x = numbers<T>(n, 1, -scale, scale);
  const auto weights = numbers<float>(C, 2, 0.25, 2);
  const auto labels = some_labels(batch, C);
  std::int64_t right = 0;
  double divisor = 0;
  for (int b = 0; b < batch; ++b) {
    const T* const row = x.data() + b * C;
    right += std::max_element(row, row + C) - row == labels[b];
    divisor += weighted ? static_cast<double>(weights[labels[b]]) : 1;
  }
  kernels::CrossEntropyOptions options;
  options.label_smoothing = static_cast<float>(smoothing);
  options.class_weights = weighted ? weights.data() : nullptr;
  std::vector<double> want(n);
  const double want_loss = kernels::ref::cross_entropy(widen(x).data(), labels.data(), batch, C,
                                                       static_cast<double>(options.label_smoothing),
                                                       weighted ? widen(weights).data() : nullptr, want.data());
  std::vector<double> want_of_sum(want);
  for (double& d : want_of_sum) d *= divisor;
  SameBitsOn<Device> same, same_loss;
  Ways<Device>::each([&](Device& dev) {
    Memory<T> from(x), dx(n), dx_of_sum(n), in_place(x);
    Memory<std::int32_t> y(labels);
    const LossSums sums = loss_of<T, C>(dev, from, y, options, dx.data());
    CHECK(std::abs(sums.loss() - want_loss) <= tolerance * (want_loss + 1));
    CHECK(std::abs(sums.weight_sum - divisor) <= 1e-12 * divisor);
    CHECK(sums.correct == right);
    CHECK(sums.count == batch);
    CHECK(difference(dx.read(), want, tolerance, tolerance / batch) == "");
    CHECK(same(dev, dx.read()));
    CHECK(same_loss(dev, std::vector<double>{sums.loss_sum}));
    const LossSums at_evaluation = loss_of<T, C>(dev, from, y, options, nullptr);
    CHECK(at_evaluation.loss_sum == sums.loss_sum);
    CHECK(at_evaluation.correct == sums.correct);
    const LossSums of_sum = loss_of<T, C>(dev, from, y, options, dx_of_sum.data(), Reduction::sum);
    CHECK((of_sum.loss_sum == sums.loss_sum && of_sum.weight_sum == sums.weight_sum));
    CHECK((of_sum.correct == sums.correct && of_sum.count == sums.count));
    CHECK(difference(dx_of_sum.read(), want_of_sum, tolerance, 2 * tolerance) == "");
    CHECK(loss_of<T, C>(dev, in_place, y, options, in_place.data()).loss_sum == sums.loss_sum);
    CHECK(same(dev, in_place.read()));
    CHECK((dx.intact() && dx_of_sum.intact() && in_place.intact()));
  });
}

template <class T, int C>
void agrees(double tolerance, std::initializer_list<int> batches) {
  for (const int batch : batches) {
    agrees<T, C>(batch, 0, false, 3, tolerance);
    agrees<T, C>(batch, 0.1, false, 3, tolerance);
    if (!takes_weights(C)) continue;
    agrees<T, C>(batch, 0, true, 30, tolerance);
    agrees<T, C>(batch, 0.3, true, 3, tolerance);
  }
}

}  // namespace

TEST_CASE("cross_entropy of few classes agrees with its definition") {
  constexpr int more = many<Device>(2500, 130);
  agrees<float, 2>(2e-6, {1, 2, 17, 31, 33, 128, more});
  agrees<float, 3>(2e-6, {1, 2, 17, 128, more});
  agrees<float, 8>(2e-6, {1, 2, 17, 128, more});
  agrees<float, 10>(2e-6, {1, 2, 17, 128, 1024, 1025, 2500});
  agrees<float, 17>(2e-6, {1, 2, 17, 65, 128, more});
  agrees<float, 32>(3e-6, {1, 300});  // one tile on Cuda and a part of the next
  agrees<double, 10>(1e-13, {1, 2, 17, 128, 600, 1100, more});
  agrees<double, 17>(1e-13, {1, 2, 17, 128, more});
  agrees<double, 32>(1e-13, {129});
}

TEST_CASE("cross_entropy of more classes agrees with its definition") {
  agrees<float, 33>(3e-6, {1, 2, 33, 128, 129});
  agrees<float, 100>(3e-6, {1, 2, 17, 31, many<Device>(128, 3), many<Device>(2500, 5)});
  agrees<float, 512>(1e-5, {3});
  agrees<double, 256>(1e-13, {3});
}

TEST_CASE("cross_entropy of so many classes that Cuda reads rows again agrees with its definition") {
  agrees<float, 513>(1e-5, {2});
  agrees<float, 1000>(1e-5, {1, 2, 3, 17, 128, 130});
  agrees<double, 257>(1e-13, {3});
}

TEST_CASE("cross_entropy is safe at logits of 1e4") {
  agrees<float, 10>(17, 0, false, 1e4, 1e-6);
  agrees<float, 10>(17, 0.1, true, 1e4, 1e-6);
  agrees<float, 40>(17, 0.1, true, 1e4, 1e-6);
  agrees<double, 10>(17, 0.1, true, 1e4, 1e-13);
}

TEST_CASE("a class that is ruled out costs nothing, and its row's other values stand") {
  std::vector<float> row(40, -INFINITY);
  row[0] = 1, row[2] = 2;
  Ways<Device>::each([&](Device& dev) {
    Memory<std::int32_t> y(std::vector<std::int32_t>{2});
    Memory<float> x(std::vector<float>{1, -INFINITY, 2}), dx(3), wide(row), dwide(40);
    CHECK(std::abs(loss_of<float, 3>(dev, x, y, {}, dx.data()).loss() - std::log1p(std::exp(-1.0))) < 1e-7);
    CHECK(dx.read()[1] == 0);
    CHECK(std::abs(loss_of<float, 40>(dev, wide, y, {}, dwide.data()).loss() - std::log1p(std::exp(-1.0))) < 1e-7);
    CHECK(dwide.read()[39] == 0);
  });
}

TEST_CASE("NaN among the logits makes the loss NaN and no row right") {
  for (std::size_t at = 0; at < 10; ++at) {
    INFO("at " << at);
    std::vector<float> row(10, 0), wide(70, 0);
    row[3] = wide[3] = 1;
    row[at] = wide[7 * at] = NAN;
    Ways<Device>::each([&](Device& dev) {
      Memory<std::int32_t> y(std::vector<std::int32_t>{3});
      Memory<float> x(row), z(wide);
      const LossSums sums = loss_of<float, 10>(dev, x, y, {}, nullptr),
                     more = loss_of<float, 70>(dev, z, y, {}, nullptr);
      CHECK((std::isnan(sums.loss_sum) && sums.correct == 0));
      CHECK((std::isnan(more.loss_sum) && more.correct == 0));
    });
  }
}

TEST_CASE("correct means that the label is the first of the greatest logits") {
  std::vector<float> row{1, 5, 5, 5, 0, 0, 0, 0, 0, 5}, wide(row);
  wide.resize(70);
  wide[69] = wide[33] = 5;
  Ways<Device>::each([&](Device& dev) {
    Memory<float> x(row), z(wide);
    for (const std::int32_t label : {0, 1, 2, 9}) {
      Memory<std::int32_t> y(std::vector<std::int32_t>{label});
      CHECK(loss_of<float, 10>(dev, x, y, {}, nullptr).correct == (label == 1));
      CHECK(loss_of<float, 70>(dev, z, y, {}, nullptr).correct == (label == 1));
    }
  });
}

TEST_CASE("cross_entropy's gradient is that of its loss") {
  Device dev = device<Device>();
  constexpr int B = 3, C = 5;
  const auto x = numbers<double>(B * C, 9, -2, 2);
  const auto weights = numbers<float>(C, 10, 0.5, 2);
  const kernels::CrossEntropyOptions options{0.2f, weights.data()};
  Memory<std::int32_t> y(std::vector<std::int32_t>{4, 0, 2});
  Memory<double> from(x), dx(x.size());
  loss_of<double, C>(dev, from, y, options, dx.data());
  check_gradient(dx.read(), x, 1e-9, [&](const auto& at) {
    Memory<double> moved(at);
    return loss_of<double, C>(dev, moved, y, options, nullptr).loss();
  });
}

TEMPLATE_TEST_CASE_SIG("the gradient of the mean is 0 where the weights of the batch add up to 0", "", ((int C), C), 3,
                       50) {
  // Only class 1 has a weight, but no sample has that label.
  std::vector<float> weights(C, 0);
  weights[1] = 2;
  for (const int batch : {1, 5, 1100}) {
    const std::size_t n = static_cast<std::size_t>(batch) * C;
    const std::vector<std::int32_t> labels(static_cast<std::size_t>(batch), 2);
    const auto logits = numbers<float>(n, 1);
    for (const float smoothing : {0.0f, 0.1f}) {
      INFO("batch " << batch << ", smoothing " << smoothing);
      const kernels::CrossEntropyOptions options{smoothing, weights.data()};
      Ways<Device>::each([&](Device& dev) {
        Memory<float> x(logits), dx(n);
        Memory<std::int32_t> y(labels);
        const LossSums sums = loss_of<float, C>(dev, x, y, options, dx.data());
        CHECK(sums.weight_sum == 0);
        CHECK(sums.count == batch);
        CHECK((sums.loss_sum > 0) == (smoothing > 0));
        CHECK((dx.read() == std::vector<float>(n, 0)));
        loss_of<float, C>(dev, x, y, options, dx.data(), Reduction::sum);
        const auto of_sum = dx.read();
        CHECK((of_sum == std::vector<float>(n, 0)) == (smoothing == 0));
        CHECK(std::all_of(of_sum.begin(), of_sum.end(), [](float d) { return std::isfinite(d); }));
      });
    }
  }
}
