// Shared by the kernel tests: reproducible numbers, all variants of the Cpu, comparison with the reference.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "tenon/core/random.hpp"
#include "tenon/core/thread_pool.hpp"

namespace tenon::tests {

/// n numbers between low and high, the same in every run.
template <class T>
std::vector<T> numbers(std::size_t n, std::uint32_t seed, double low = -1, double high = 1) {
  const random::Key key{seed, random::Use::user, 0, 0};
  std::vector<T> v(n);
  for (std::size_t i = 0; i < n; ++i)
    v[i] = static_cast<T>(low + (high - low) * random::unit(key.words(i / 4, 0).v[i % 4]));
  return v;
}

template <class T>
std::vector<double> widen(const std::vector<T>& v) {
  return {v.begin(), v.end()};
}

template <class T>
bool is_plus_zero(T x) {
  return x == 0 && !std::signbit(x);
}

/// Memory of exactly n values with a guard behind them. intact() tells whether the guard is unchanged.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t n, T fill = T(-77)) : n_(n), v_(n + guard, T(1234)) {
    for (std::size_t i = 0; i < n; ++i) v_[i] = fill;
  }
  explicit Guarded(const std::vector<T>& from) : Guarded(from.size()) {
    for (std::size_t i = 0; i < n_; ++i) v_[i] = from[i];
  }
  T* data() { return v_.data(); }
  const T* data() const { return v_.data(); }
  std::size_t size() const { return n_; }
  T operator[](std::size_t i) const { return v_[i]; }
  bool intact() const {
    for (std::size_t i = n_; i < v_.size(); ++i)
      if (v_[i] != T(1234)) return false;
    return true;
  }

 private:
  static constexpr std::size_t guard = 16;
  std::size_t n_;
  std::vector<T> v_;
};

/// Calls f(device) for every instruction set of this machine, with 1, 2 and 3 threads.
template <class F>
void for_each_cpu(F&& f) {
  for (const int threads : {1, 2, 3}) {
    Cpu dev(threads);
    for (const Isa isa : {Isa::portable, Isa::avx2}) {
      if (isa == Isa::avx2 && detect_isa() != Isa::avx2) continue;
      dev.set_isa(isa);
      INFO(name(isa) << ", " << threads << " threads");
      f(dev);
    }
  }
}

/// Tells whether all results of the same instruction set have the same bits.
class SameBits {
 public:
  template <class V>
  bool operator()(const Cpu& dev, const V& values) {
    std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
    return first_.emplace(dev.isa(), bytes).first->second == bytes;
  }
  bool operator()(const Cpu& dev, double value) { return (*this)(dev, std::vector<double>{value}); }

 private:
  std::map<Isa, std::string> first_;
};

/// Empty if |got - want| <= relative * |want| + absolute everywhere, otherwise a message about the worst element.
template <class V>
std::string difference(const V& got, const std::vector<double>& want, double relative, double absolute = 0) {
  if (got.size() != want.size()) return "sizes " + std::to_string(got.size()) + " and " + std::to_string(want.size());
  double worst = 0;
  std::string message;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double g = static_cast<double>(got[i]), off = std::abs(g - want[i]);
    const double excess = off - (relative * std::abs(want[i]) + absolute);
    if (std::isnan(excess) || excess > worst) {
      if (g == want[i] || (std::isnan(g) && std::isnan(want[i]))) continue;  // equal infinities pass too
      worst = std::isnan(excess) ? INFINITY : excess;
      char text[160];
      std::snprintf(text, sizeof text, "at %zu: got %.9g, want %.9g, off by %.3g, allowed %.3g", i, g, want[i], off,
                    off - excess);
      message = text;
    }
  }
  return message;
}

}  // namespace tenon::tests
