// Initial values of parameters: every kind against the bound, mean, variance and kurtosis of its distribution, with the
// fans of the layer; the defaults against PyTorch's rules. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/tenon.hpp>

#include <cmath>
#include <string>

#include "catch.hpp"
#include "devices.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

std::vector<float> values_of(const auto& model, const std::string& name) {
  for (const plan::NamedTensor& t : model.tensors())
    if (t.name == name) {
      const auto& from = t.kind == plan::NamedTensor::Kind::parameter ? model.parameters() : model.states();
      const auto all = on_host(model.device(), from);
      return {all.begin() + t.offset, all.begin() + t.offset + t.dims.count()};
    }
  FAIL("no tensor " << name);
  return {};
}

/// The initial values of a tensor of `Net`.
template <class Net>
std::vector<float> start(const std::string& name, std::uint64_t seed = 1, int threads = 1) {
  return values_of(Model<Net, Device>(Seed{seed}, 1, device<Device>(threads)), name);
}

// Kurtosis distinguishes the shapes of distributions, because it does not depend on the scale.
constexpr double uniform_kurtosis = 9.0 / 5, normal_kurtosis = 3;
// A standard normal truncated at 2: Z = P(|x| < 2) = 0.954500, phi(2) = 0.0539910, E x^2 = 1 - 4 phi / Z,
// E x^4 = 3 E x^2 - 16 phi / Z.
constexpr double cut_variance = 0.773741, cut_kurtosis = 2.36543;

/// Checks mean 0, this deviation and this kurtosis, within five standard errors of v.size() draws.
void check_moments(const std::vector<float>& v, double deviation, double kurtosis) {
  const double n = static_cast<double>(v.size());
  double m1 = 0, m2 = 0, m4 = 0;
  for (const float x : v) m1 += static_cast<double>(x) / n;
  for (const float x : v) {
    const double d2 = std::pow(static_cast<double>(x) - m1, 2);
    m2 += d2 / n;
    m4 += d2 * d2 / n;
  }
  CHECK(std::abs(m1) < 5 * deviation / std::sqrt(n));
  CHECK(std::abs(m2 / (deviation * deviation) - 1) < 5 * std::sqrt((kurtosis - 1) / n));
  CHECK(std::abs(m4 / (m2 * m2) - kurtosis) < 5 * std::sqrt(24 / n));  // 24 is that of the normal, the largest
}

double largest(const std::vector<float>& v) {
  float max = 0;
  for (const float x : v) max = std::max(max, std::abs(x));
  return static_cast<double>(max);
}

/// Checks v for uniform in [-bound, bound): no value is outside, and the largest |v| is within 30 / n of the bound.
/// This fails by chance once in e^30 tensors.
void check_uniform(const std::vector<float>& v, double bound) {
  CHECK(largest(v) <= bound * (1 + 1e-7));  // rounding the bound to float: half a unit in the last place
  CHECK(largest(v) > bound * (1 - 30 / static_cast<double>(v.size())));
  check_moments(v, bound / std::sqrt(3.0), uniform_kurtosis);
}

// 784 in, 256 out: 200,704 draws
template <auto... Options>
using Wide = Sequential<Input<784>, Linear<256, Options...>>;

// 16 channels in 4 groups, 64 filters of 3 x 5: fan_in 4 * 15, fan_out 16 * 15
template <auto... Options>
using Grouped = Sequential<Input<16, 8, 8>, Conv2d<64, Kernel<3, 5>, Groups<4>, Options...>>;

}  // namespace

TEST_CASE("initialize: the uniform kinds") {
  check_uniform(start<Wide<KaimingUniform>>("0.weight"), std::sqrt(6.0 / 784));
  check_uniform(start<Wide<XavierUniform>>("0.weight"), std::sqrt(6.0 / (784 + 256)));
}

TEST_CASE("initialize: the normal kinds") {
  check_moments(start<Wide<KaimingNormal>>("0.weight"), std::sqrt(2.0 / 784), normal_kurtosis);
  check_moments(start<Wide<XavierNormal>>("0.weight"), std::sqrt(2.0 / (784 + 256)), normal_kurtosis);
  CHECK(largest(start<Wide<KaimingNormal>>("0.weight")) > 4 * std::sqrt(2.0 / 784));  // the tails are present
}

TEST_CASE("initialize: a truncated normal is drawn again beyond two deviations, not clipped") {
  for (const double deviation : {0.02, 0.5}) {
    const auto v = deviation < 0.1 ? start<Wide<TruncatedNormal<>>>("0.weight")  //
                                   : start<Wide<TruncatedNormal<1, 2>>>("0.weight");
    CHECK(largest(v) <= 2 * deviation * (1 + 1e-7));
    CHECK(largest(v) > 1.999 * deviation);
    check_moments(v, deviation * std::sqrt(cut_variance), cut_kurtosis);
  }
}

TEST_CASE("initialize: constants, also those of the norms") {
  CHECK(start<Wide<Constant<3, 4>>>("0.weight") == std::vector<float>(784 * 256, 0.75f));
  using Norms = Sequential<Input<3, 4, 4>, BatchNorm<>, Flatten, LayerNorm<>>;
  for (const char* one : {"0.weight", "0.running_var"}) CHECK(start<Norms>(one) == std::vector<float>(3, 1));
  for (const char* zero : {"0.bias", "0.running_mean"}) CHECK(start<Norms>(zero) == std::vector<float>(3, 0));
  CHECK(start<Norms>("2.weight") == std::vector<float>(48, 1));
  CHECK(start<Norms>("2.bias") == std::vector<float>(48, 0));
}

// The bound of kaiming_uniform(a = sqrt 5) is sqrt(6 / ((1 + 5) fan_in)) = 1 / sqrt(fan_in). The bias has the same
// bound.
TEST_CASE("initialize: Linear and Conv2d start as PyTorch's do unless told otherwise") {
  check_uniform(start<Wide<>>("0.weight"), 1 / std::sqrt(784.0));
  check_uniform(start<Wide<>>("0.bias"), 1 / std::sqrt(784.0));
  check_uniform(start<Sequential<Input<5, 100>, Linear<300>>>("0.weight"), 0.1);  // fan_in: the last dimension

  using Plain = Sequential<Input<16, 8, 8>, Conv2d<256, Kernel<3, 5>>>;
  check_uniform(start<Plain>("0.weight"), 1 / std::sqrt(16.0 * 15));
  check_uniform(start<Plain>("0.bias"), 1 / std::sqrt(16.0 * 15));
  check_uniform(start<Grouped<>>("0.weight"), 1 / std::sqrt(4.0 * 15));
  check_uniform(start<Grouped<>>("0.bias"), 1 / std::sqrt(4.0 * 15));

  // An option applies to the weight only: the bias keeps PyTorch's bound.
  check_uniform(start<Wide<TruncatedNormal<>>>("0.bias"), 1 / std::sqrt(784.0));
  check_uniform(start<Grouped<XavierUniform>>("0.bias"), 1 / std::sqrt(4.0 * 15));
}

// In a grouped convolution, outputs and inputs are connected only within a group. (PyTorch's fan_out counts all
// outputs.)
TEST_CASE("initialize: the fans of a convolution are those of one group") {
  check_uniform(start<Grouped<KaimingUniform>>("0.weight"), std::sqrt(6.0 / (4 * 15)));
  check_moments(start<Grouped<KaimingNormal>>("0.weight"), std::sqrt(2.0 / (4 * 15)), normal_kurtosis);
  check_uniform(start<Grouped<XavierUniform>>("0.weight"), std::sqrt(6.0 / (4 * 15 + 16 * 15)));
  check_moments(start<Grouped<XavierNormal>>("0.weight"), std::sqrt(2.0 / (4 * 15 + 16 * 15)), normal_kurtosis);
}

TEST_CASE("initialize: an option is heard wherever it stands") {
  const auto first = start<Sequential<Input<16, 8, 8>, Conv2d<8, KaimingNormal, Kernel<3>, NoBias>>>("0.weight");
  CHECK(first == start<Sequential<Input<16, 8, 8>, Conv2d<8, Kernel<3>, KaimingNormal, NoBias>>>("0.weight"));
  CHECK(first == start<Sequential<Input<16, 8, 8>, Conv2d<8, NoBias, Kernel<3>, KaimingNormal>>>("0.weight"));
  CHECK(first != start<Sequential<Input<16, 8, 8>, Conv2d<8, Kernel<3>, NoBias>>>("0.weight"));
  CHECK(start<Sequential<Input<9>, Linear<9, NoBias, Constant<2>>>>("0.weight") == std::vector<float>(81, 2));
}

TEST_CASE("initialize: the values hang on seed, layer and tensor, not on threads") {
  using Net = Sequential<Input<40>, Linear<40>, Linear<40>, Linear<40, KaimingNormal>, Linear<40, TruncatedNormal<>>>;
  Model<Net, Device> model(Seed{1}, 1, device<Device>());
  for (const char* name : {"0.weight", "1.weight", "2.weight", "3.weight", "3.bias"}) {
    const auto v = values_of(model, name);
    CHECK(v == start<Net>(name, 1, 2));
    CHECK(v == start<Net>(name, 1, 3));
    CHECK(v != start<Net>(name, 2));
    CHECK(v != start<Net>(name, 1 + (1ull << 32)));
  }
  CHECK(values_of(model, "0.weight") != values_of(model, "1.weight"));
  const auto weight = values_of(model, "0.weight"), bias = values_of(model, "0.bias");
  CHECK(bias != std::vector<float>(weight.begin(), weight.begin() + 40));

  const auto before = on_host(model.device(), model.parameters());
  fill_zeros(model.device(), model.parameters().data, before.size());
  model.reset();
  CHECK(on_host(model.device(), model.parameters()) == before);
}
