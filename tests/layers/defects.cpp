// check_gradients finds each kind of wrong memory use in a layer and names it: one wrong layer for each message.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

#include <string>
#include <type_traits>

#include "catch.hpp"

using namespace tenon;

namespace {

enum class Defect {
  none,
  ignores_dx_accumulate,
  ignores_grads_accumulate,
  adds_to_dx,
  reads_x,
  reads_y,
  leaves_dx,
  leaves_gradient,
  leaves_y,
  writes_past_y,
  writes_past_dx,
  writes_before_gradient,
  writes_parameters,
  crashes_without_dx,
  does_nothing_without_dx,
};

// y = w x, with one w for each feature, and the defect D.
template <Defect D>
struct Scale {
  static constexpr const char* name = "Scale";

  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in).param("weight", in, constant(1));
    if (D != Defect::reads_x) s = s.backward_reads_input();
    return s;
  }
  template <class Context>
  static void forward(auto&, const Context& at) {
    const auto [w] = at.params();
    constexpr std::size_t F = Context::in.d[0];
    const std::size_t n = at.y.size() - (D == Defect::leaves_y ? 1 : 0);
    for (std::size_t i = 0; i < n; ++i) at.y[i] = w[i % F] * at.x[i];
    if (D == Defect::writes_past_y) at.y.data[at.y.size()] = 1;
    if (D == Defect::writes_parameters) const_cast<double&>(w[0]) += 1e-3;
  }
  template <class Context>
  static void backward(auto&, const Context& at) {
    const auto [w] = at.params();
    const auto [dw] = at.grads();
    constexpr std::size_t F = Context::in.d[0];
    if (D == Defect::does_nothing_without_dx && !at.dx) return;
    const bool add_dw = dw.accumulate && D != Defect::ignores_grads_accumulate;
    for (std::size_t f = 0; f + (D == Defect::leaves_gradient) < F; ++f) {
      double sum = add_dw ? dw[f] : 0;
      for (int b = 0; b < at.batch; ++b) {
        const std::size_t i = static_cast<std::size_t>(b) * F + f;
        sum += at.dy[i] * (D == Defect::reads_y ? at.y[i] / w[f] : at.x[i]);
      }
      dw[f] = sum;
    }
    if (D == Defect::writes_before_gradient) dw.data[-1] = 1;
    if (!at.dx && D != Defect::crashes_without_dx) return;
    const bool add_dx = (at.dx.accumulate && D != Defect::ignores_dx_accumulate) || D == Defect::adds_to_dx;
    for (std::size_t i = D == Defect::leaves_dx ? 1 : 0; i < at.dx.size(); ++i)
      at.dx[i] = w[i % F] * at.dy[i] + (add_dx ? at.dx[i] : 0);
    if (D == Defect::writes_past_dx) at.dx.data[at.dx.size()] = 1;
  }
};

template <Defect D>
std::string found() {
  // 3 samples of 5 values: there is unused memory between two tensors.
  const GradientCheck c = check_gradients<Sequential<Input<5>, Linear<5>, Scale<D>, Linear<2>>>();
  if (c.defects.empty()) return c.worst < 1e-7 ? "" : "wrong: " + c.where;
  CHECK(c.worst > 1);  // the usual assertion on `worst` must fail
  CHECK(c.where == c.defects[0]);
  CHECK(c.defects.size() == 1);
  CHECK_THAT(c.where, StartsWith("layer 1 (Scale): "));
  return c.defects[0].substr(std::string("layer 1 (Scale): ").size());
}

}  // namespace

TEST_CASE("defects: the right layer has none") { CHECK(found<Defect::none>().empty()); }

TEST_CASE("defects: a layer that ignores accumulate") {
  CHECK(found<Defect::ignores_dx_accumulate>() == "backward ignores at.dx.accumulate");
  CHECK(found<Defect::ignores_grads_accumulate>() == "backward ignores the accumulate of at.grads()");
}

TEST_CASE("defects: a layer that reads what it did not ask for") {
  CHECK(found<Defect::reads_x>() == "backward reads at.x, but infer() does not say backward_reads_input()");
  CHECK(found<Defect::reads_y>() == "backward reads at.y, but infer() does not say backward_reads_output()");
}

TEST_CASE("defects: a layer that leaves elements unwritten, or adds when it should not") {
  CHECK_THAT(found<Defect::leaves_y>(), StartsWith("forward leaves elements of at.y unwritten"));
  CHECK_THAT(found<Defect::leaves_dx>(), StartsWith("backward leaves elements of at.dx unwritten, or adds"));
  CHECK_THAT(found<Defect::adds_to_dx>(), StartsWith("backward leaves elements of at.dx unwritten, or adds"));
  CHECK_THAT(found<Defect::leaves_gradient>(), StartsWith("backward leaves elements of at.grads() unwritten, or adds"));
}

TEST_CASE("defects: a layer that writes elsewhere") {
  CHECK(found<Defect::writes_past_y>() == "forward writes outside of at.y and at.saved()");
  CHECK(found<Defect::writes_parameters>() == "forward writes outside of at.y and at.saved()");
  CHECK(found<Defect::writes_past_dx>() == "backward writes outside of at.dx, at.dy and at.grads()");
  CHECK(found<Defect::writes_before_gradient>() == "backward writes outside of at.dx, at.dy and at.grads()");
}

TEST_CASE("defects: a layer that does not expect that at.dx is null") {
  CHECK(found<Defect::crashes_without_dx>() == "backward fails if at.dx is null");
  CHECK(found<Defect::does_nothing_without_dx>() == "backward computes other at.grads() if at.dx is null");
}

namespace {

enum class Mistake { none, gradient, reduction, leaves, outside, changes_outputs, null_gradient, sums, weights };

// (y - target)^2 of all outputs, with the mistake M.
template <Mistake M>
struct Squares {
  using Target = double;

  template <int Outputs>
  static constexpr int targets_per_sample() {
    return Outputs;
  }
  void operator()(auto&, const auto& at) const {
    LossSums sums;
    const std::size_t n = at.outputs.size();
    const bool mean = at.reduction == Reduction::mean || M == Mistake::reduction;
    for (std::size_t i = 0; i < n; ++i) {
      const double error = at.outputs[i] - at.targets[i];
      sums.loss_sum += error * error * (M == Mistake::sums && at.outputs.batch > 1 ? 2 : 1);
      if (at.gradient && !(M == Mistake::leaves && i == 4))
        at.gradient[i] = (M == Mistake::gradient ? 2.02 : 2) * error / (mean ? static_cast<double>(n) : 1);
    }
    sums.weight_sum = M == Mistake::weights ? 0 : static_cast<double>(n);
    if (M == Mistake::null_gradient && !at.gradient) sums.loss_sum += 1;
    if (M == Mistake::outside && at.gradient) at.gradient.data[n] = 0;
    if (M == Mistake::changes_outputs) const_cast<double&>(at.outputs[1]) = 0;
    *at.sums = sums;
  }
};

template <Mistake M>
std::string mistake() {
  const GradientCheck c = check_loss<4>(Squares<M>{});
  return c.defects.empty() ? (c.worst < 1e-7 ? "" : "wrong: " + c.where) : c.defects[0];
}

}  // namespace

TEST_CASE("defects: of a loss") {
  CHECK(mistake<Mistake::none>().empty());
  CHECK_THAT(mistake<Mistake::gradient>(), StartsWith("wrong: sum by outputs["));
  CHECK_THAT(mistake<Mistake::reduction>(), StartsWith("wrong: sum by outputs["));
  CHECK_THAT(mistake<Mistake::leaves>(), StartsWith("the loss leaves elements of the gradient unwritten"));
  CHECK(mistake<Mistake::outside>() == "the loss writes outside of the gradient");
  CHECK(mistake<Mistake::changes_outputs>() == "the loss changes the outputs");
  CHECK(mistake<Mistake::null_gradient>() == "the sums of the loss are different if the gradient is null");
  CHECK(mistake<Mistake::sums>() == "the sums of the loss are not the sums over the samples");
  CHECK_THAT(mistake<Mistake::weights>(), StartsWith("the sums of the loss have no weight"));
}

TEST_CASE("defects: the losses of the library have none") {
  CHECK(check_loss<7>(CrossEntropy{}).worst < 1e-7);
  CHECK(check_loss<3>(CrossEntropy{.label_smoothing = 0.1f, .class_weights = {0.5f, 2, 1}}).worst < 1e-7);
  CHECK(check_loss<5>(MeanSquaredError<double>{}).worst < 1e-7);
  CHECK(check_loss<5>(BinaryCrossEntropy<double>{}).worst < 1e-7);
}
