// Every layer's gradients against central differences in double precision, alone and in the company that the plan
// treats specially: fused, aliased, read twice, added up.
#include <tenon/tenon.hpp>

#include "catch.hpp"

using namespace tenon;

namespace {

template <class Net>
void check(double bound = 1e-6, GradientCheckOptions options = {}) {
  const GradientCheck c = check_gradients<Net>(options);
  INFO(describe<Net>());
  INFO(c.where << ": computed " << c.computed << ", expected " << c.expected << ", error " << c.worst);
  CHECK(c.compared > 0);
  CHECK(c.worst < bound);
}

}  // namespace

TEST_CASE("gradients: Linear, on vectors and sequences, with and without bias") {
  check<Sequential<Input<1>, Linear<1>>>();
  check<Sequential<Input<7>, Linear<5>>>();
  check<Sequential<Input<33>, Linear<17, NoBias>>>();
  check<Sequential<Input<3, 5>, Linear<4>, Tanh, Linear<2>>>();
  check<Sequential<Input<7>, Linear<5>>>(1e-6, {3, 1});
  check<Sequential<Input<7>, Linear<5>>>(1e-6, {3, 17});
}

TEST_CASE("gradients: Linear with every activation that may join it") {
  check<Sequential<Input<7>, Linear<9>, ReLU, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, LeakyReLU<>, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, LeakyReLU<Slope<1, 5>>, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, Sigmoid, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, Tanh, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, GELU, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, GELUTanh, Linear<3>>>();
  check<Sequential<Input<7>, Linear<9>, SiLU, Linear<3>>>();
}

TEST_CASE("gradients: activations alone, on every rank") {
  check<Sequential<Input<7>, ReLU>>();
  check<Sequential<Input<3, 4>, GELU>>();
  check<Sequential<Input<2, 3, 4>, SiLU>>();
  check<Sequential<Input<2, 3, 4>, Tanh, Sigmoid, GELUTanh, LeakyReLU<>>>();
}

TEST_CASE("gradients: Conv2d, whatever the window") {
  check<Sequential<Input<1, 5, 5>, Conv2d<1, Kernel<3>>>>();
  check<Sequential<Input<1, 6, 5>, Conv2d<3, Kernel<3>, Padding<1>>>>();
  check<Sequential<Input<3, 7, 6>, Conv2d<5, Kernel<3>, Padding<1>>>>();
  check<Sequential<Input<3, 7, 6>, Conv2d<5, Kernel<3>, Stride<2>, Padding<1>, NoBias>>>();
  check<Sequential<Input<2, 9, 8>, Conv2d<3, Kernel<3>, Dilation<2>, Padding<1>>>>();
  check<Sequential<Input<4, 6, 6>, Conv2d<6, Kernel<3>, Groups<2>>>>();
  check<Sequential<Input<4, 6, 6>, Conv2d<4, Kernel<3>, Groups<4>, Padding<1>>>>();
  check<Sequential<Input<2, 7, 9>, Conv2d<3, Kernel<2, 3>, Stride<1, 2>, Padding<0, 1>>>>();
  check<Sequential<Input<3, 4, 4>, Conv2d<17, Kernel<1>>>>();
  check<Sequential<Input<2, 4, 4>, Conv2d<3, Kernel<4>>>>();
}

TEST_CASE("gradients: Conv2d with what joins it") {
  check<Sequential<Input<1, 8, 8>, Conv2d<5, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>, Flatten, Linear<3>>>();
  check<Sequential<Input<2, 9, 9>, Conv2d<5, Kernel<3>, Padding<1>>, MaxPool2d<2>, Conv2d<4, Kernel<3>>, Tanh,
                   Flatten>>();
  check<Sequential<Input<2, 9, 9>, Conv2d<16, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<3>,
                   Conv2d<18, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<3>, Flatten, Linear<4>>>();
  check<Sequential<Input<2, 7, 7>, Conv2d<4, Kernel<3>>, LeakyReLU<>, MaxPool2d<2>>>();
  check<Sequential<Input<2, 7, 7>, Conv2d<4, Kernel<3>>, Sigmoid, Flatten, Linear<2>>>();
  check<Sequential<Input<2, 7, 7>, Conv2d<4, Kernel<3>>, GELU, Flatten, Linear<2>>>();
}

TEST_CASE("gradients: pools") {
  check<Sequential<Input<3, 6, 6>, MaxPool2d<2>>>();
  check<Sequential<Input<3, 7, 7>, MaxPool2d<3, Stride<2>, Padding<1>>>>();
  check<Sequential<Input<3, 7, 7>, MaxPool2d<2, Dilation<2>, Stride<1>>>>();
  check<Sequential<Input<3, 6, 6>, AvgPool2d<2>>>();
  check<Sequential<Input<3, 7, 7>, AvgPool2d<3, Stride<2>, Padding<1>>>>();
  check<Sequential<Input<3, 5, 4>, GlobalAvgPool, Linear<2>>>();
}

TEST_CASE("gradients: Flatten, permuted and not") {
  check<Sequential<Input<3, 5, 4>, Flatten, Linear<3>>>();
  check<Sequential<Input<1, 5, 4>, Flatten, Linear<3>>>();
  check<Sequential<Input<5, 4>, Flatten, Linear<3>>>();
  check<Sequential<Input<3, 5, 4>, ReLU, Flatten>>();
}

TEST_CASE("gradients: norms and dropout") {
  check<Sequential<Input<7>, BatchNorm<>>>();
  check<Sequential<Input<3, 5, 4>, BatchNorm<>, ReLU>>();
  check<Sequential<Input<3, 5, 4>, Conv2d<4, Kernel<3>, NoBias>, BatchNorm<Epsilon<1, 1000>>, ReLU, GlobalAvgPool>>();
  check<Sequential<Input<7>, LayerNorm<>>>();
  check<Sequential<Input<3, 5>, LayerNorm<>, Linear<4>>>();
  check<Sequential<Input<40>, Dropout<Rate<1, 4>>, Linear<3>, Dropout<>>>();
}

TEST_CASE("gradients: Residual, nested, empty, projected, and read twice") {
  check<Sequential<Input<7>, Residual<Linear<7>, Tanh>>>();
  check<Sequential<Input<7>, Residual<>>>();
  check<Sequential<Input<7>, Residual<Residual<Tanh, Linear<7>>, SiLU>, Residual<GELU>, Linear<2>>>();
  check<Sequential<Input<7>, Linear<6>, Residual<Body<Tanh, Linear<9>>, Skip<Linear<9>>>, ReLU, Linear<2>>>();
  check<Sequential<
      Input<2, 6, 6>, Conv2d<4, Kernel<3>, Padding<1>>, ReLU,
      Residual<Conv2d<4, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU, Conv2d<4, Kernel<3>, Padding<1>>>, ReLU,
      Residual<Body<Conv2d<6, Kernel<3>, Stride<2>, Padding<1>>, ReLU>, Skip<Conv2d<6, Kernel<1>, Stride<2>>>>,
      GlobalAvgPool, Linear<3>>>();
}

// A check that cannot fail proves nothing.
namespace {

struct Wrong {  // 1 % off
  static constexpr const char* name = "Wrong";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  static void forward(auto& dev, const auto& at) {
    elementwise(dev, at.y, [&](auto i) { return 3 * at.x[i]; });
  }
  static void backward(auto& dev, const auto& at) {
    elementwise(dev, at.dx, [&](auto i) { return 3.03 * at.dy[i]; });
  }
};

}  // namespace

TEST_CASE("gradients: a wrong one is found and named") {
  const GradientCheck c = check_gradients<Sequential<Input<5>, Linear<4>, Wrong, Linear<2>>>();
  CHECK(c.worst > 1e-3);
  CHECK_THAT(c.where, StartsWith("0.") || StartsWith("input"));
}
