// tests/kernels/cross_entropy.hpp on Cuda; invalid labels, too many weights; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/cross_entropy.cuh"

#include "cuda/support.hpp"
#include "tenon/cuda/recorder.cuh"
#include "tenon/losses/cross_entropy.hpp"

using Device = tenon::Cuda;

// Whether class weights are supported for this number of classes.
static constexpr bool takes_weights(int classes) { return classes <= 512; }

#include "kernels/cross_entropy.hpp"

TEST_CASE("cuda: cross_entropy says where weights are too many") {
  const std::vector<float> weights(1000, 1);
  OnDevice<float> x(std::size_t{1000});
  OnDevice<std::int32_t> y(std::vector<std::int32_t>{3});
  CHECK_THROWS_WITH((loss_of<float, 1000>(cuda(), x, y, {0, weights.data()}, nullptr)),
                    "[cross_entropy] expected class weights of at most 512 classes on a GPU, got 1000");
}

TEMPLATE_TEST_CASE_SIG("cuda: a label that is no class makes the loss NaN, and leaves the other rows' gradients", "",
                       ((int C), C), 10, 50) {
  for (const std::int32_t wrong : {-1, C, INT_MAX, INT_MIN})
    for (const bool weighted : {false, true}) {
      INFO("label " << wrong << ", weighted " << weighted);
      const std::vector<float> weights(C, 0.5f);
      const kernels::CrossEntropyOptions options{0.1f, weighted ? weights.data() : nullptr};
      auto labels = some_labels(5, C);
      OnDevice<float> x(numbers<float>(5 * C, 3)), dx(std::size_t{5 * C}), want(std::size_t{5 * C});
      OnDevice<std::int32_t> good(labels);
      loss_of<float, C>(cuda(), x, good, options, want.data());
      labels[2] = wrong;
      OnDevice<std::int32_t> bad(labels);
      const LossSums sums = loss_of<float, C>(cuda(), x, bad, options, dx.data());
      CHECK(std::isnan(sums.loss()));
      const auto got = dx.read(), all = want.read();
      const double scale = weighted ? 5.0 / 4 : 1;  // the divisor of the mean lacks the weight of the label
      for (std::size_t i = 0; i < got.size(); ++i) {
        const bool wrong_row = i / C == 2;
        CHECK_THAT(got[i], WithinAbs(wrong_row ? 0 : all[i] * scale, 1e-7));
        if (wrong_row) CHECK(got[i] == 0);
      }
    }
}

TEST_CASE("cuda: a recorded cross_entropy leaves its sums on the device, and keeps the class weights") {
  constexpr int C = 10;
  for (const int batch : {5, 1500})
    for (const bool weighted : {false, true}) {
      INFO("batch " << batch << ", weighted " << weighted);
      std::vector<float> weights{1, 2, 3, 1, 2, 3, 1, 2, 3, 1};
      const kernels::CrossEntropyOptions options{0, weighted ? weights.data() : nullptr};
      const std::size_t n = static_cast<std::size_t>(batch) * C;
      auto logits = numbers<float>(n, 3);
      OnDevice<float> x(logits), dx(n), want_dx(n);
      OnDevice<std::int32_t> y(some_labels(batch, C));
      const LossSums one = loss_of<float, C>(cuda(), x, y, options, want_dx.data());
      One<LossSums> sums(cuda(), {1, 2, 3, 4});
      const auto graph = capture(cuda(), [&] {
        cross_entropy(cuda(), In<float, Batch, C>(x.data(), batch), y.data(), options, Reduction::mean,
                      Out<float, Batch, C>(dx.data(), batch), sums.data());
      });
      weights.assign(C, NAN);
      CHECK(sums.read().loss_sum == 1);
      replay(cuda(), graph);
      CHECK(dx.read() == want_dx.read());
      CHECK((sums.read().loss_sum == one.loss_sum && sums.read().weight_sum == one.weight_sum));
      CHECK((sums.read().correct == one.correct && sums.read().count == batch));
      logits[n - 1] = NAN;
      x.write(logits);
      replay(cuda(), graph);
      CHECK(std::isnan(sums.read().loss_sum));
    }
}

TEST_CASE("cuda: CrossEntropy, the loss, takes labels that the host cannot read") {
  CrossEntropy loss;
  loss.label_smoothing = 0.1f;
  loss.class_weights = {1, 2, 3};
  OnDevice<float> x(numbers<float>(21, 1)), dx(std::size_t{21});
  OnDevice<std::int32_t> y(some_labels(7, 3)), bad(std::vector<std::int32_t>(7, 3));
  One<LossSums> sums(cuda());
  const auto call = [&](OnDevice<std::int32_t>& labels) {
    loss(cuda(),
         LossContext<float, std::int32_t, 3, Cuda>{In<float, Batch, 3>(x.data(), 7), labels.data(), Reduction::mean,
                                                   Out<float, Batch, 3>(dx.data(), 7), sums.data(), nullptr});
    return sums.read();
  };
  const std::vector<float> weights(loss.class_weights);
  CHECK(call(y).loss_sum == loss_of<float, 3>(cuda(), x, y, {0.1f, weights.data()}, nullptr).loss_sum);
  CHECK(std::isnan(call(bad).loss_sum));
}
