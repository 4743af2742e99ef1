// The vector exp, log, tanh, erf and sigmoid: every 2503rd float compared with double, in every lane.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/math.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "catch.hpp"

using namespace tenon;

#if TENON_X86
namespace {

double ulps(float got, double want) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) == std::isnan(want) ? 0 : 1e9;
  if (std::isinf(got) || std::isinf(rounded)) return got == rounded ? 0 : 1e9;
  int e = 0;
  std::frexp(want, &e);
  return std::abs(got - want) / std::ldexp(1.0, (e < -125 ? -125 : e) - 24);
}

struct Exp {
  TENON_AVX2 static void of(const float* x, float* y) { _mm256_storeu_ps(y, kernels::avx2::exp(_mm256_loadu_ps(x))); }
  static double want(double x) { return std::exp(x); }
};
struct Log {
  TENON_AVX2 static void of(const float* x, float* y) { _mm256_storeu_ps(y, kernels::avx2::log(_mm256_loadu_ps(x))); }
  static double want(double x) { return std::log(x == 0 ? 0.0 : x); }
};
struct Tanh {
  TENON_AVX2 static void of(const float* x, float* y) { _mm256_storeu_ps(y, kernels::avx2::tanh(_mm256_loadu_ps(x))); }
  static double want(double x) { return std::tanh(x); }
};
struct Erf {
  TENON_AVX2 static void of(const float* x, float* y) { _mm256_storeu_ps(y, kernels::avx2::erf(_mm256_loadu_ps(x))); }
  static double want(double x) { return std::erf(x); }
};
struct Sigmoid {
  TENON_AVX2 static void of(const float* x, float* y) {
    _mm256_storeu_ps(y, kernels::avx2::sigmoid(_mm256_loadu_ps(x)));
  }
  static double want(double x) { return 1 / (1 + std::exp(-x)); }
};

/// Tests every `stride`-th bit pattern: all signs and exponents, NaN and denormals. Empty if F is within `bound` ulp.
template <class F>
std::string worst(double bound, std::uint64_t stride) {
  double max = 0;
  float at = 0;
  for (std::uint64_t first = 0; first < (std::uint64_t{1} << 32);) {
    float x[8], y[8];
    for (float& v : x) {
      const auto bits = static_cast<std::uint32_t>(first);
      std::memcpy(&v, &bits, sizeof v);
      first += stride;
    }
    F::of(x, y);
    for (int i = 0; i < 8; ++i)
      if (const double u = ulps(y[i], F::want(x[i])); !(u <= max)) {
        max = u;
        at = x[i];
      }
  }
  if (max <= bound) return "";
  char text[96];
  std::snprintf(text, sizeof text, "%.3f ulp at %.9g", max, static_cast<double>(at));
  return text;
}

bool has_avx2() { return detect_isa() == Isa::avx2; }

}  // namespace

TEST_CASE("vector functions are within their bounds") {
  if (!has_avx2()) return;
  CHECK(worst<Exp>(1.1, 2503) == "");
  CHECK(worst<Log>(1, 2503) == "");
  CHECK(worst<Tanh>(2.5, 2503) == "");
  CHECK(worst<Erf>(2.5, 2503) == "");
  CHECK(worst<Sigmoid>(2.5, 2503) == "");
}

TEST_CASE("vector functions are within their bounds for every 17th float", "[.slow]") {
  if (!has_avx2()) return;
  CHECK(worst<Exp>(1.1, 17) == "");
  CHECK(worst<Log>(1, 17) == "");
  CHECK(worst<Tanh>(2.5, 17) == "");
  CHECK(worst<Erf>(2.5, 17) == "");
  CHECK(worst<Sigmoid>(2.5, 17) == "");
}

TEST_CASE("vector functions at special values") {
  if (!has_avx2()) return;
  const float inf = INFINITY, tiny = 1e-45f, x[8] = {0.0f, -0.0f, inf, -inf, NAN, 1, tiny, -tiny};
  float y[8];
  Exp::of(x, y);
  CHECK((y[0] == 1 && y[1] == 1 && y[2] == inf && y[3] == 0 && std::isnan(y[4]) && y[6] == 1));
  Log::of(x, y);
  CHECK((y[0] == -inf && y[1] == -inf && y[2] == inf && std::isnan(y[3]) && std::isnan(y[4]) && y[5] == 0 &&
         std::isnan(y[7])));
  Tanh::of(x, y);
  CHECK((y[0] == 0 && std::signbit(y[1]) && y[2] == 1 && y[3] == -1 && std::isnan(y[4]) && y[6] == tiny &&
         y[7] == -tiny));
  Erf::of(x, y);
  CHECK((y[0] == 0 && std::signbit(y[1]) && y[2] == 1 && y[3] == -1 && std::isnan(y[4])));
  Sigmoid::of(x, y);
  CHECK((y[0] == 0.5f && y[1] == 0.5f && y[2] == 1 && y[3] == 0 && std::isnan(y[4])));
}

TEST_CASE("every lane gives the same bits") {
  if (!has_avx2()) return;
  for (float v = -5; v < 5; v += 0.37f) {
    const float x[8] = {v, v, v, v, v, v, v, v};
    for (auto* of : {Exp::of, Log::of, Tanh::of, Erf::of, Sigmoid::of}) {
      float y[8];
      of(x, y);
      for (int i = 1; i < 8; ++i) CHECK(std::memcmp(y, y + i, sizeof(float)) == 0);
    }
  }
}
#endif
