// What the tests of products and pools share: numbers whose sums are exact, and views of vectors of the exact size.
//
// Sums of products of small whole numbers have no rounding error in float: a kernel agrees with the reference to the
// bit, whatever its order, or has taken a wrong value somewhere. Zeros and ties abound among them. Vectors are of the
// exact size, so that the address sanitizer sees a value read or written beyond the end.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/numbers.hpp"

namespace tenon::tests {

/// n whole numbers from low to high.
template <class T>
std::vector<T> integers(std::size_t n, std::uint32_t seed, int low = -3, int high = 3) {
  std::vector<T> v = numbers<T>(n, seed, low, high + 1);
  for (T& x : v) x = std::floor(x);
  return v;
}

/// Which numbers a case is made of, and how far a sum of k products may be from the truth.
enum class Kind { whole, real };
template <class T>
std::vector<T> values(Kind kind, std::size_t n, std::uint32_t seed) {
  return kind == Kind::whole ? integers<T>(n, seed) : numbers<T>(n, seed);
}
/// k roundings, of partial sums that grow as sqrt(k): about 0.1 k epsilon, and the worst of thousands some times that.
template <class T>
double allowed(Kind kind, int k) {
  return kind == Kind::whole ? 0 : std::numeric_limits<T>::epsilon() * (k + 8);
}

/// Reserves scratch, where a device has it, and fills it with NaN: a kernel that takes it for zeros is found out.
template <class D>
void spoil_scratch(D& dev, std::size_t bytes) {
  if constexpr (D::host_memory) {
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
