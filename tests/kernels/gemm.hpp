// Matrix products against the reference: every remainder of the Cpu's tile, sizes around a tile and a stage on Cuda,
// with K split among blocks and not, in each order of operands that a layer needs. Runs on any device (devices.hpp).
// The including file defines Device and
//   multiply<A, KA, KB>(dev, call)   C = A(a b + bias), or C += a b
//   each_math(f)                     calls f(own) for every precision in which the device multiplies floats; own: fp32
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/on_device.hpp"
#include "tenon/ref/activation.hpp"
#include "tenon/ref/gemm.hpp"

namespace {

struct Size {
  int m, n, k;
};

/// The operands. Rows are a_ld, b_ld and c_ld values apart. A is (m, k) if it is "by k", else (k, m). B is (n, k) if it
/// is "by k", else (k, n).
template <class T>
struct Call {
  Size s;
  const T* a;
  int a_ld;
  const T* b;
  int b_ld;
  T* c;
  int c_ld;
  const T* bias;    // may be null
  bool accumulate;  // add to C
};
template <Activation A, bool KA, bool KB, class T>
void multiply(Device& dev, const Call<T>& call);
template <class F>
void each_math(F&& f);

constexpr Activation none{}, relu{Activation::relu}, tanh_{Activation::tanh};

/// The matrix v (rows, cols) or its transpose, with `gap` NaNs between its rows.
template <class T>
std::vector<T> laid_out(const std::vector<T>& v, int rows, int cols, bool as_it_is, int gap) {
  const int lines = as_it_is ? rows : cols, length = as_it_is ? cols : rows, ld = length + gap;
  std::vector<T> to(static_cast<std::size_t>((lines - 1) * ld + length), std::numeric_limits<T>::quiet_NaN());
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < cols; ++j)
      to[static_cast<std::size_t>(as_it_is ? i * ld + j : j * ld + i)] = v[static_cast<std::size_t>(i * cols + j)];
  return to;
}

/// Factors a (m, k) and b (k, n), a bias, and the old contents of C, with `gap` values between the rows of C.
template <class T>
struct Factors {
  Size s;
  int gap;
  std::vector<T> a, b, bias, old;

  Factors(Kind kind, Size size, int between)
      : s(size),
        gap(between),
        a(of(kind, s.m * s.k, 1)),
        b(of(kind, s.k * s.n, 2)),
        bias(of(kind, s.n, 3)),
        old(of(kind, (s.m - 1) * (s.n + gap) + s.n, 4)) {}
  static std::vector<T> of(Kind kind, int n, std::uint32_t seed) {
    return values<T>(kind, static_cast<std::size_t>(n), seed);
  }

  /// The expected C. The values between its rows are unchanged.
  std::vector<double> want(Activation act, bool with_bias, bool add) const {
    std::vector<double> product(static_cast<std::size_t>(s.m * s.n)), w = widen(old);
    kernels::ref::gemm(widen(a).data(), widen(b).data(), with_bias ? widen(bias).data() : nullptr, s.m, s.n, s.k,
                       product.data());
    for (int i = 0; i < s.m; ++i)
      for (int j = 0; j < s.n; ++j) {
        double& c = w[static_cast<std::size_t>(i * (s.n + gap) + j)];
        c = kernels::ref::activation(act, product[static_cast<std::size_t>(i * s.n + j)]) + (add ? c : 0);
      }
    return w;
  }
};

/// The same on the device. The first value of a and of b is `offset` values off its alignment.
template <class T, bool KA, bool KB>
struct Operands {
  Size s;
  int gap;
  std::vector<T> old;
  Memory<T> a, b, bias, c;

  explicit Operands(const Factors<T>& f, std::size_t offset = 0)
      : s(f.s),
        gap(f.gap),
        old(f.old),
        a(laid_out(f.a, s.m, s.k, KA, gap), offset),
        b(laid_out(f.b, s.k, s.n, !KB, gap), offset),
        bias(f.bias),
        c(f.old) {}

  Call<T> call(bool with_bias, bool add) {
    return {s,
            a.data(),
            (KA ? s.k : s.m) + gap,
            b.data(),
            (KB ? s.k : s.n) + gap,
            c.data(),
            s.n + gap,
            with_bias ? bias.data() : nullptr,
            add};
  }
  /// C after a call.
  template <Activation A>
  std::vector<T> result(Device& dev, bool with_bias, bool add) {
    c.write(old);
    multiply<A, KA, KB>(dev, call(with_bias, add));
    return c.read();
  }
  bool intact() const { return a.intact() && b.intact() && bias.intact() && c.intact(); }
};

/// Orders of operands: y = x w^T, dx = dz w, dw = dz^T x.
enum Orders : unsigned { forward = 1, by_x = 2, by_w = 4, all = 7 };

/// How a case is run: in every way or in one, in which orders, with which offset, on the Cpu with how much scratch
/// (bytes).
struct How {
  bool every_way = std::is_same_v<Device, Cpu>;
  unsigned orders = all;
  std::size_t offset = 0, scratch = 0;
};
constexpr How every{.every_way = true};

/// One product in several orders of operands. Only the forward order (both operands "by k") has the activation A.
template <Activation A, class T>
struct Check {
  Factors<T> f;
  double off;
  std::vector<double> product, biased, active, added;
  SameBitsOn<Device> same_product, same_biased, same_active, same_added;

  Check(Kind kind, Size s, int gap)
      : f(kind, s, gap),
        off(allowed<T>(kind, s.k) + (A.kind == Activation::tanh ? 1e-6 : 0)),
        product(f.want(none, false, false)),
        biased(f.want(none, true, false)),
        active(f.want(A, true, false)),
        added(f.want(none, false, true)) {}

  /// Checks products with a bias, with accumulation, and with neither. The bits do not depend on the order of operands.
  /// Cuda's ways differ only in the order of threads, so one order of operands is enough for accumulation there. On
  /// Cuda the tests of linear (without bias) and of gemm_pair cover products with neither.
  template <bool KA, bool KB>
  void in_order(Device& dev, std::size_t offset, bool first) {
    INFO("by k " << KA << KB);
    Operands<T, KA, KB> o(f, offset);
    constexpr Activation act = KA && KB ? A : none;
    const auto with_bias = o.template result<act>(dev, true, false);
    CHECK(difference(with_bias, KA && KB ? active : biased, 0, off) == "");
    CHECK((KA && KB ? same_active : same_biased)(dev, with_bias));
    if (std::is_same_v<Device, Cpu> || first) {
      const auto more = o.template result<none>(dev, false, true);
      CHECK(difference(more, added, 0, off) == "");
      CHECK(same_added(dev, more));
    }
    if (std::is_same_v<Device, Cpu>) {
      const auto alone = o.template result<none>(dev, false, false);
      CHECK(difference(alone, product, 0, off) == "");
      CHECK(same_product(dev, alone));
    }
    CHECK(o.intact());
  }
};

template <class T, Activation A = relu>
void agrees(Kind kind, Size s, int gap = 0, How how = {}) {
  INFO("M " << s.m << " N " << s.n << " K " << s.k << ", gap " << gap << ", offset " << how.offset << ", scratch "
            << how.scratch);
  Check<A, T> check(kind, s, gap);
  bool first = true;
  const auto run = [&](Device& dev) {
    spoil_scratch(dev, how.scratch);
    if (how.orders & forward) check.template in_order<true, true>(dev, how.offset, first);
    if (how.orders & by_x) check.template in_order<true, false>(dev, how.offset, first);
    if (how.orders & by_w) check.template in_order<false, false>(dev, how.offset, first);
    first = false;
  };
  if (how.every_way) return Ways<Device>::each(run);
  Device dev = device<Device>();
  run(dev);
}

}  // namespace

TEST_CASE("gemm agrees with the reference at every remainder of the tile") {
  for (const int m : {1, 2, 3, 4, 5, 6, 7, 13})
    for (const int n : {1, 7, 8, 9, 15, 16, 17, 31}) agrees<float>(Kind::whole, {m, n, 5});
  for (const int m : {1, 2})
    for (const int n : {33, 64, 65, 80, 129}) agrees<float>(Kind::whole, {m, n, 11});
}

TEST_CASE("gemm agrees with the reference beyond one task, tall, wide and deep", "[smoke]") {
  agrees<float>(Kind::whole, {49, 65, 3});
  agrees<float>(Kind::whole, {101, 1, 7});
  agrees<float>(Kind::whole, {1, 331, 7});
  agrees<float>(Kind::whole, {1, 10, 1});
  agrees<float>(Kind::whole, {7, 17, 521});
  agrees<float>(Kind::whole, {3, 35, many<Device>(4099, 1091)});
  agrees<float>(Kind::whole, {1, 65, many<Device>(2049, 1025)});
  agrees<double>(Kind::whole, {33, 65, 257});
}

TEST_CASE("gemm is exact for every size around a tile and a stage of Cuda's, with gaps between rows and without") {
  each_math([](bool) {
    for (const Size s : {Size{1, 1, 1}, {3, 5, 7}, {31, 33, 32}, {32, 32, 33}, {33, 31, 64}, {17, 65, 95}})
      agrees<float>(Kind::whole, s);
    agrees<float>(Kind::whole, {32, 36, 100}, 0, every);  // loads of 16 bytes
    agrees<float>(Kind::whole, {40, 36, 44}, 4);
    agrees<float>(Kind::whole, {33, 36, 40}, 4, {.offset = 1});
    agrees<float>(Kind::whole, {30, 34, 30}, 2);  // the last 16 bytes extend into the gap
    agrees<float>(Kind::whole, {5, 36, 30}, 3);
    agrees<float>(Kind::whole, {3, 5, 1}, 4);
  });
}

TEST_CASE("gemm is exact where Cuda cuts K among blocks") {
  each_math([](bool) {
    agrees<float>(Kind::whole, {5, 40, 512}, 0, every);
    agrees<float>(Kind::whole, {33, 10, 801});
    agrees<float, tanh_>(Kind::whole, {1, 10, 784});
  });
  agrees<double>(Kind::whole, {5, 34, 545}, 0, every);
}

TEST_CASE("gemm is exact for Cuda's large tiles") {
  each_math([](bool own) {
    agrees<float>(Kind::whole, {64 * 7 + 3, 64 * 7 + 6, 37}, 0, {.orders = forward});
    agrees<float>(Kind::whole, {64 * 7 + 4, 64 * 7 + 1, 40}, 0, {.orders = by_w});
    agrees<float>(Kind::whole, {5, 64 * 63 + 1, 45}, 0, {.every_way = own, .orders = by_x});
  });
  agrees<float>(Kind::whole, {20, 64 * 63 + 1, 515}, 0, {.orders = forward});  // K is also split
}

TEST_CASE("gemm in double") {
  each_math([](bool) {  // the precision of float products must not affect double
    for (const Size s : {Size{1, 1, 1}, {3, 5, 7}, {33, 34, 38}}) agrees<double>(Kind::whole, s);
    agrees<double>(Kind::whole, {34, 36, 38}, 2, every);
    agrees<double>(Kind::whole, {34, 36, 38}, 2, {.offset = 1});
    agrees<double>(Kind::whole, {33, 35, 37}, 1);
    agrees<double>(Kind::real, {9, 11, 70});
  });
}

TEST_CASE("gemm's rounding errors are those of one sum") {
  agrees<float>(Kind::real, {50, 70, 784});
  agrees<float>(Kind::real, {1, 70, 784});
  agrees<double>(Kind::real, {7, 17, 300});
}

TEST_CASE("gemm passes NaN on, through relu too") {
  each_math([](bool) {
    Factors<float> f(Kind::whole, {7, 17, 3}, 0);
    f.b.assign(3 * 17, 0);
    f.a[2 * 3 + 1] = std::numeric_limits<float>::quiet_NaN();
    Ways<Device>::each([&](Device& dev) {
      const auto c = Operands<float, true, true>(f).result<relu>(dev, false, false);
      for (std::size_t i = 0; i < 7 * 17; ++i) CHECK(std::isnan(c[i]) == (i / 17 == 2));
    });
  });
}
