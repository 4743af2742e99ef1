// Shared by the tests of products and pools: numbers whose sums are exact, and vectors of the exact size.
//
// Sums of products of small integers have no rounding error in float. A kernel must therefore agree with the reference
// bit for bit, in any order of summation; a difference means a wrong value. Such data contain many zeros and ties.
// Vectors have the exact size, so that the address sanitizer detects a read or write beyond the end.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/numbers.hpp"

namespace tenon::tests {

/// n integers from low to high.
template <class T>
std::vector<T> integers(std::size_t n, std::uint32_t seed, int low = -3, int high = 3) {
  std::vector<T> v = numbers<T>(n, seed, low, high + 1);
  for (T& x : v) x = std::floor(x);
  return v;
}

/// The kind of numbers in a test case: integers (exact sums) or real numbers (rounded sums).
enum class Kind { whole, real };
template <class T>
std::vector<T> values(Kind kind, std::size_t n, std::uint32_t seed) {
  return kind == Kind::whole ? integers<T>(n, seed) : numbers<T>(n, seed);
}
/// The allowed error of a sum of k products. k roundings of partial sums that grow as sqrt(k) give an error of about
/// 0.1 k epsilon. The worst of thousands is several times that.
template <class T>
double allowed(Kind kind, int k) {
  return kind == Kind::whole ? 0 : std::numeric_limits<T>::epsilon() * (k + 8);
}

/// Reserves scratch on the Cpu and fills it with NaN, to detect kernels that assume zeros there.
template <class D>
void spoil_scratch(D& dev, std::size_t bytes) {
  if constexpr (std::is_same_v<D, Cpu>) {
    dev.reserve_scratch(bytes);
    for (int worker = 0; worker < dev.threads() && bytes; ++worker) std::memset(dev.scratch(worker), 0xff, bytes);
  }
}

template <class T>
std::vector<double> sum(const std::vector<T>& a, const std::vector<double>& b) {
  std::vector<double> s(b);
  for (std::size_t i = 0; i < s.size(); ++i) s[i] += a[i];
  return s;
}

}  // namespace tenon::tests
