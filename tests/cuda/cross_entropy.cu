// tests/kernels/cross_entropy.hpp on Cuda; labels that are none, weights that are too many; and in a recorded step.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/cross_entropy.cuh"

#include "cuda/recorded.hpp"

using Device = tenon::Cuda;

// Whether so many classes may have weights.
template <class T, int C>
static constexpr bool takes_weights() {
  return C * sizeof(T) <= 2048;
}

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
      const CrossEntropyOptions<float> options{0.1f, weighted ? weights.data() : nullptr};
      auto labels = some_labels(5, C);
      OnDevice<float> x(numbers<float>(5 * C, 3)), dx(std::size_t{5 * C}), want(std::size_t{5 * C});
      OnDevice<std::int32_t> good(labels);
      loss_of<float, C>(cuda(), x, good, options, want.data());
      labels[2] = wrong;
      OnDevice<std::int32_t> bad(labels);
      const LossSums sums = loss_of<float, C>(cuda(), x, bad, options, dx.data());
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
      const LossSums one = loss_of<float, C>(cuda(), x, y, options, want_dx.data());
      const Recorded step({0, 41, 0, 0.1, 1, 0, 0}, {1, 2, 3, 4});
      LossSums here = loss_of<float, C>(cuda(), x, y, options, dx.data());
      CHECK(here.count == 0);  // nothing was brought
      CHECK(dx.read() == want_dx.read());
      const LossSums sums = step.sums();
      CHECK(sums.loss_sum == one.loss_sum);
      CHECK(sums.weight_sum == one.weight_sum);
      CHECK(sums.correct == one.correct);
      CHECK(sums.count == batch);
      loss_of<float, C>(cuda(), bad, y, options, dx.data());
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
        loss_of<float, 3>(cuda(), x, y, {0.1f, weights.data()}, nullptr).loss_sum);
  CHECK(std::isnan(loss(cuda(), logits, bad.data(), gradient).loss()));
}
