// main FILE: checks that the plain and the fast unit of one program compute the same numbers, which are also those in
// FILE. The first program that runs writes FILE. `bits`: the same bits. `close`: within 1e-3 for losses and 4 ulp for
// functions. The bound of the losses is wide because Adam divides gradients by their size: a gradient that is only
// rounding error still gives a full step.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "unit.hpp"

namespace plain {
Result run();
}
namespace fast {
Result run();
}

static int faults = 0;

static void compare(const char* what, std::size_t i, double got, double want, double bound, bool bits) {
  if (std::memcmp(&got, &want, sizeof got) == 0) return;
  if (!bits && std::fabs(got - want) <= bound * std::fabs(want)) return;
  if (++faults < 20) std::printf("%s %zu: expected %.17g, got %.17g\n", what, i, want, got);
}

static void compare(const char* who, const Result& got, const Result& want, bool bits) {
  if (got.losses.size() != want.losses.size() || got.functions.size() != want.functions.size())
    ++faults, std::printf("%s: the counts differ\n", who);
  for (std::size_t i = 0; i < want.losses.size(); ++i) compare(who, i, got.losses[i], want.losses[i], 1e-3, bits);
  for (std::size_t i = 0; i < want.functions.size(); ++i)
    compare(who, i, got.functions[i], want.functions[i], 4 * 0x1p-52, bits);
  if (got.pooled != want.pooled) ++faults, std::printf("%s: the largest of a window are others\n", who);
  for (std::size_t i = 0; i < want.refused.size(); ++i)
    if (got.refused.at(i) != want.refused[i])
      ++faults, std::printf("%s: expected \"%s\", got \"%s\"\n", who, want.refused[i].c_str(), got.refused[i].c_str());
}

int main(int count, char** words) {
  if (count != 3) return 2;
  const bool bits = std::strcmp(words[1], "bits") == 0;
  const Result a = plain::run(), b = fast::run();
  std::ifstream in(words[2]);
  if (!in) {
    // The expected values are those of the C library, computed in a unit without flags.
    std::size_t k = 0;
    const auto check = [&](double want) { compare("libm", k, a.functions.at(k), want, 8 * 0x1p-52, false), ++k; };
    for (double v = -740; v < 720; v += 3.7) v<-700 ? void(++k) : v> 709.7 ? void(++k) : check(std::exp(v));
    for (double v = 0.0001; v < 1e6; v *= 1.7)
      for (const double f : {std::log(v), std::log1p(v), std::expm1(v * 0x1p-17), std::tanh(v), 1 / (1 + std::exp(v)),
                             std::erf(v), std::sin(v), std::cos(v), std::pow(v, 1.3), std::pow(0.999, v)})
        std::fabs(f) < 1e-300 ? void(++k) : check(f);
    for (const std::string& s : a.refused)
      if (s.find("expected") == std::string::npos) ++faults, std::printf("plain: %s\n", s.c_str());
    std::size_t nans = 0;
    for (const std::uint32_t p : a.pooled) nans += p == 0x7f800000;
    if (nans != a.pooled.size()) ++faults, std::printf("plain: %zu of %zu are NaN\n", nans, a.pooled.size());
    std::ofstream out(words[2]);
    for (const auto* list : {&a.losses, &a.functions}) {
      out << list->size() << '\n';
      for (const double v : *list) {
        std::uint64_t u;
        std::memcpy(&u, &v, sizeof u);
        out << u << '\n';
      }
    }
  } else {
    Result want = a;
    for (auto* list : {&want.losses, &want.functions}) {
      std::size_t n = 0;
      in >> n;
      list->resize(n);
      for (double& v : *list) {
        std::uint64_t u = 0;
        in >> u;
        std::memcpy(&v, &u, sizeof u);
      }
    }
    compare("the plain unit", a, want, bits);
  }
  compare("the fast unit", b, a, bits);
  std::printf("loss %.6f, functions %zu, refused %zu: %d faults\n", a.losses.back(), a.functions.size(),
              a.refused.size(), faults);
  return faults != 0;
}
