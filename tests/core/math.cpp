// math: every function against long double at dense and random points, and the special cases of C.
// SPDX-License-Identifier: MIT
#include "tenon/core/math.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>

#include "catch.hpp"
#include "tenon/core/random.hpp"

using namespace tenon;

namespace {

/// |got - want| in units in the last place (ulp) of T at want.
template <class T>
double ulps(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) == std::isnan(got) ? 0 : 1e9;
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0 : 1e9;
  int e = 0;
  std::frexp(want, &e);
  constexpr int min = std::numeric_limits<T>::min_exponent;
  return static_cast<double>(std::abs(got - want) /
                             std::ldexp(1.0L, (e < min ? min : e) - std::numeric_limits<T>::digits));
}

/// Empty if f is within `bound` of want at `count` points of [low, high], evenly spaced and random.
template <class T, class F, class G>
std::string worst(F f, G want, T low, T high, double bound, int count = 100000) {
  const random::Key key{11, random::Use::user, 0, 0};
  double max = 0;
  T at = 0;
  for (int i = 0; i < count; ++i) {
    const double share =
        i % 2 ? double(i) / count : (key.words(i, 0).v[0] + random::unit(key.words(i, 0).v[1])) * 0x1p-32;
    const T x = static_cast<T>(low + (static_cast<double>(high) - low) * share);
    const double u = ulps<T>(f(x), want(static_cast<long double>(x)));
    if (!(u <= max)) {
      max = u;
      at = x;
    }
  }
  if (max <= bound) return "";
  char text[128];
  std::snprintf(text, sizeof text, "%.3f ulp at %.17g", max, static_cast<double>(at));
  return text;
}

// Functions as objects: float or double for the tested function, long double for the reference.
#define TENON_TEST_FUNCTION(f)                                        \
  struct f##_ {                                                       \
    template <class T>                                                \
    T operator()(T x) const {                                         \
      return math::f(x);                                              \
    }                                                                 \
    long double operator()(long double x) const { return std::f(x); } \
  }
TENON_TEST_FUNCTION(exp);
TENON_TEST_FUNCTION(expm1);
TENON_TEST_FUNCTION(log);
TENON_TEST_FUNCTION(log1p);
TENON_TEST_FUNCTION(tanh);
TENON_TEST_FUNCTION(erf);
TENON_TEST_FUNCTION(sin);
TENON_TEST_FUNCTION(cos);
#undef TENON_TEST_FUNCTION
struct sigmoid_ {
  template <class T>
  T operator()(T x) const {
    return math::sigmoid(x);
  }
  long double operator()(long double x) const { return 1 / (1 + std::exp(-x)); }
};

template <class F>
std::string within(double bound, double low, double high) {
  return worst<double>([](double x) { return F{}(x); }, [](long double x) { return F{}(x); }, low, high, bound);
}
template <class F>
std::string within_float(double bound, float low, float high) {
  return worst<float>([](float x) { return F{}(x); }, [](long double x) { return F{}(x); }, low, high, bound);
}

const double inf = std::numeric_limits<double>::infinity(), not_a_number = std::numeric_limits<double>::quiet_NaN();
const double denormal = std::numeric_limits<double>::denorm_min(), largest = std::numeric_limits<double>::max();

bool same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

TEST_CASE("exp is within 1 ulp") {
  CHECK(within<exp_>(1, -746, 710) == "");
  CHECK(within<exp_>(1, -1, 1) == "");
  CHECK(within<exp_>(1, -745.2, -700) == "");  // denormal results
  CHECK(within<exp_>(1, 709, 709.79) == "");
  CHECK(within<exp_>(1, -1e-300, 1e-300) == "");
  CHECK(within_float<exp_>(0.51, -105, 89) == "");
}

TEST_CASE("exp's special values") {
  CHECK(math::exp(0.0) == 1);
  CHECK(math::exp(inf) == inf);
  CHECK(same(math::exp(-inf), 0.0));
  CHECK(math::exp(largest) == inf);
  CHECK(math::exp(-largest) == 0);
  CHECK(math::exp(709.79) == inf);
  CHECK(math::exp(-746.0) == 0);
  CHECK(std::isnan(math::exp(not_a_number)));
  CHECK(math::exp(89.0f) == std::numeric_limits<float>::infinity());
  CHECK(math::exp(-104.0f) == 0);
}

TEST_CASE("expm1 is within 2 ulp, near 0 too") {
  CHECK(within<expm1_>(2, -45, 710) == "");
  CHECK(within<expm1_>(2, -2, 2) == "");
  CHECK(within<expm1_>(1, -1e-5, 1e-5) == "");
  CHECK(within<expm1_>(1, -1e-300, 1e-300) == "");
  CHECK(math::expm1(inf) == inf);
  CHECK(math::expm1(-inf) == -1);
  CHECK(std::isnan(math::expm1(not_a_number)));
  CHECK(within_float<expm1_>(0.51, -3, 3) == "");
}

TEST_CASE("log is within 1 ulp") {
  CHECK(within<log_>(1, 1e-10, 2) == "");
  CHECK(within<log_>(1, 0.9, 1.1) == "");
  CHECK(within<log_>(1, 1, 1e300) == "");
  CHECK(within<log_>(1, denormal, 1e-307) == "");
  CHECK(within_float<log_>(0.51, 1e-6f, 10) == "");
}

TEST_CASE("log's special values") {
  CHECK(math::log(1.0) == 0);
  CHECK(math::log(0.0) == -inf);
  CHECK(math::log(-0.0) == -inf);
  CHECK(math::log(inf) == inf);
  CHECK(std::isnan(math::log(-1.0)));
  CHECK(std::isnan(math::log(-inf)));
  CHECK(std::isnan(math::log(not_a_number)));
  CHECK(ulps(math::log(denormal), std::log(static_cast<long double>(denormal))) <= 1);
  CHECK(ulps(math::log(largest), std::log(static_cast<long double>(largest))) <= 1);
}

TEST_CASE("log1p is within 1.2 ulp, near 0 too") {
  CHECK(within<log1p_>(1.2, -0.99, 3) == "");
  CHECK(within<log1p_>(1.2, -1e-5, 1e-5) == "");
  CHECK(within<log1p_>(1.2, 0, 1e20) == "");
  CHECK(math::log1p(-1.0) == -inf);
  CHECK(math::log1p(inf) == inf);
  CHECK(std::isnan(math::log1p(-1.5)));
  CHECK(std::isnan(math::log1p(not_a_number)));
  CHECK(same(math::log1p(denormal), denormal));
}

TEST_CASE("tanh is within 3 ulp, and odd") {
  CHECK(within<tanh_>(3, -25, 25) == "");
  CHECK(within<tanh_>(3, -1, 1) == "");
  CHECK(within<tanh_>(3, -1e-5, 1e-5) == "");
  CHECK(math::tanh(inf) == 1);
  CHECK(math::tanh(-inf) == -1);
  CHECK(same(math::tanh(-0.0), -0.0));
  CHECK(std::isnan(math::tanh(not_a_number)));
  CHECK(math::tanh(-0.3) == -math::tanh(0.3));
  CHECK(within_float<tanh_>(0.51, -10, 10) == "");
}

TEST_CASE("sigmoid is within 3 ulp") {
  CHECK(within<sigmoid_>(3, -700, 40) == "");
  CHECK(within<sigmoid_>(3, -3, 3) == "");
  CHECK(math::sigmoid(inf) == 1);
  CHECK(math::sigmoid(-inf) == 0);
  CHECK(math::sigmoid(0.0) == 0.5);
  CHECK(std::isnan(math::sigmoid(not_a_number)));
  CHECK(within_float<sigmoid_>(0.51f, -80, 20) == "");
}

TEST_CASE("erf is within 5 ulp, as float within 0.6") {
  CHECK(within<erf_>(5, -7, 7) == "");
  CHECK(within<erf_>(5, 1.49, 1.51) == "");
  CHECK(within<erf_>(5, -1e-3, 1e-3) == "");
  CHECK(math::erf(inf) == 1);
  CHECK(math::erf(-inf) == -1);
  CHECK(same(math::erf(-0.0), -0.0));
  CHECK(std::isnan(math::erf(not_a_number)));
  CHECK(within_float<erf_>(0.6, -5, 5) == "");
  CHECK(within_float<erf_>(0.6f, -1e-4f, 1e-4f) == "");
  CHECK(math::erf(std::numeric_limits<float>::infinity()) == 1);
  CHECK(std::isnan(math::erf(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("sin and cos are within 1 ulp up to 2^20") {
  for (const double top : {1e-5, 0.8, 7.0, 1e3, 0x1p20}) {
    CHECK(within<sin_>(1, -top, top) == "");
    CHECK(within<cos_>(1, -top, top) == "");
  }
  // Near multiples of pi / 2, all digits of the result come from the argument reduction.
  for (int k = -2000; k <= 2000; ++k) {
    const double x = k * 1.5707963267948966;
    CHECK(ulps(math::sin(x), std::sin(static_cast<long double>(x))) <= 1);
    CHECK(ulps(math::cos(x), std::cos(static_cast<long double>(x))) <= 1);
  }
  CHECK(within_float<sin_>(0.51f, -1000, 1000) == "");
  CHECK(within_float<cos_>(0.51f, -1000, 1000) == "");
}

TEST_CASE("sin and cos: special values") {
  CHECK(same(math::sin(0.0), 0.0));
  CHECK(same(math::sin(-0.0), -0.0));
  CHECK(math::cos(0.0) == 1);
  for (const double x : {inf, -inf, not_a_number, 0x1p21}) {
    CHECK(std::isnan(math::sin(x)));
    CHECK(std::isnan(math::cos(x)));
  }
}

TEST_CASE("pow is within 1 ulp") {
  const random::Key key{12, random::Use::user, 0, 0};
  double max = 0, at_x = 0, at_y = 0;
  for (int i = 0; i < 200000; ++i) {
    const random::Four r = key.words(i, 0);
    const double u = random::unit(r.v[0]), v = random::unit(r.v[1]);
    double x, y;
    switch (i % 4) {
      case 0: x = u * 2, y = v * 200 - 100; break;
      case 1: x = std::exp(u * 80 - 40), y = v * 30 - 15; break;
      case 2: x = 1 + (u - 0.5) * 1e-3, y = std::floor(v * 4e5); break;  // beta^step
      default: x = 0.9 + 0.0999999 * u, y = std::floor(v * 7000); break;
    }
    if (x == 0) continue;
    const double e = ulps(math::pow(x, y), std::pow(static_cast<long double>(x), static_cast<long double>(y)));
    if (!(e <= max)) max = e, at_x = x, at_y = y;
  }
  INFO("at " << at_x << ", " << at_y);
  CHECK(max <= 1);
  CHECK(math::pow(2.0, 10.0) == 1024);
  CHECK(math::pow(2.0f, -3.0f) == 0.125f);
}

TEST_CASE("pow follows C for zeros, infinities, NaN and negative bases") {
  const double values[] = {0.0,   -0.0,   1,      -1,  0.5,  -0.5,         2,        -2,     3,          -3,  2.5, -2.5,
                           1e300, -1e300, 1e-300, inf, -inf, not_a_number, denormal, 0x1p53, 0x1p53 - 1, 1025};
  for (const double x : values)
    for (const double y : values) {
      const double want = std::pow(x, y), got = math::pow(x, y);
      INFO("pow(" << x << ", " << y << ")");
      if (std::isnan(want))
        CHECK(std::isnan(got));
      else
        CHECK((std::signbit(got) == std::signbit(want) && ulps(got, want) <= 1));
    }
}

TEST_CASE("bits are those of every other machine") {
  // These bits must not change: a change would change the training that a seed gives.
  const auto bits = [](double x) { return math::detail::bits(x); };
  std::uint64_t h = 1469598103934665603ull;
  for (int i = 0; i < 2000; ++i) {
    const double x = (i - 1000) * 0.0137;
    for (const double v : {math::exp(x), math::log(x * x + 0.1), math::tanh(x), math::erf(x / 3), math::sin(x),
                           math::cos(x), math::pow(0.999, i), math::log1p(x * x), math::expm1(x), math::sigmoid(x)})
      h = (h ^ bits(v)) * 1099511628211ull;
  }
  CHECK(h == 0x5b3c38949a626647ull);
}
