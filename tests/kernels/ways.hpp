// Helpers for kernel tests that are written once for all devices (devices.hpp): memory with guards, and every way in
// which a device may run a kernel.
// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <vector>

#include "devices.hpp"
#include "kernels/numbers.hpp"

namespace tenon::tests {

/// n values in host memory with guards around them. intact() tells whether the guards are unchanged. `offset` moves the
/// first value off its alignment by that many values.
template <class T>
class OnCpu {
 public:
  explicit OnCpu(const std::vector<T>& from, std::size_t offset = 0)
      : n_(from.size()), offset_(offset), all_(n_ + offset + guard, T(99)) {
    write(from);
  }
  explicit OnCpu(std::size_t n, T fill = T(-77), std::size_t offset = 0) : OnCpu(std::vector<T>(n, fill), offset) {}

  T* data() { return all_.data() + offset_; }
  std::size_t size() const { return n_; }
  Span<T> span() { return {data(), n_}; }
  std::vector<T> read() const { return {all_.begin() + at(0), all_.begin() + at(n_)}; }
  void write(const std::vector<T>& from) { std::copy(from.begin(), from.end(), all_.begin() + at(0)); }
  bool intact() const {
    for (std::size_t i = 0; i < all_.size(); ++i)
      if ((i < offset_ || i >= offset_ + n_) && all_[i] != T(99)) return false;
    return true;
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr std::size_t guard = 0;  // the exact size, so that the sanitizer detects reads beyond the end
#else
  static constexpr std::size_t guard = 16;
#endif
  std::ptrdiff_t at(std::size_t i) const { return static_cast<std::ptrdiff_t>(offset_ + i); }
  std::size_t n_, offset_;
  std::vector<T> all_;
};

/// Checks `gradient` against the central differences of f at x.
template <class F>
void check_gradient(const std::vector<double>& gradient, std::vector<double> x, double bound, F&& f) {
  const double h = 1e-5;
  REQUIRE(gradient.size() == x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + h;
    const double up = f(x);
    x[i] = at - h;
    const double down = f(x);
    x[i] = at;
    CHECK_THAT(gradient[i], WithinAbs((up - down) / (2 * h), bound));
  }
}

/// The three vectors concatenated.
template <class T>
std::vector<T> joined(std::vector<T> all, const std::vector<T>& more, const std::vector<T>& still_more) {
  all.insert(all.end(), more.begin(), more.end());
  all.insert(all.end(), still_more.begin(), still_more.end());
  return all;
}

template <class T>
std::vector<T> doubled(std::vector<T> v) {
  for (T& x : v) x += x;
  return v;
}

/// each(f) calls f(device) in every way. Only ways with the same bits(device) must give the same bits.
template <class D>
struct Ways;
template <>
struct Ways<Cpu> {
  template <class T>
  using Memory = OnCpu<T>;
  template <class F>
  static void each(F&& f) {
    for_each_cpu(f);
  }
  static int bits(const Cpu& dev) { return static_cast<int>(dev.isa()); }
};

/// Tells whether all results that must have the same bits have them.
template <class D>
class SameBitsOn {
 public:
  template <class T>
  bool operator()(const D& dev, const std::vector<T>& values) {
    std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    return first_.emplace(Ways<D>::bits(dev), bytes).first->second == bytes;
  }

 private:
  std::map<int, std::string> first_;
};

}  // namespace tenon::tests
