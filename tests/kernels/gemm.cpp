// tests/kernels/gemm.hpp on the Cpu; and operands that are gathered in scratch.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/gemm.hpp"

using Device = tenon::Cpu;
#include "kernels/gemm.hpp"

namespace {

/// b (n, k) in panels of 16 columns. Missing columns are zero.
template <class T>
std::vector<T> in_panels(const T* b, int ld, int n, int k) {
  std::vector<T> packed(kernels::gemm_packed(n, k));
  for (int j = 0; j < n; ++j)
    for (int l = 0; l < k; ++l) packed[static_cast<std::size_t>(((j / 16) * k + l) * 16 + j % 16)] = b[j * ld + l];
  return packed;
}

// B "by k" is packed into panels, as in linear's forward. Otherwise B is read directly, as in linear's backward.
template <Activation A, bool KA, bool KB, class T>
void multiply(Device& dev, const Call<T>& p) {
  const auto [m, n, k] = p.s;
  const std::vector<T> packed = KB ? in_panels(p.b, p.b_ld, n, k) : std::vector<T>{};
  kernels::gemm<A>(
      dev, kernels::Gemm<T>{m, n, k, p.a, KA ? p.a_ld : 1, KA ? 1 : p.a_ld, KB ? packed.data() : p.b, KB ? k * 16 : 16,
                            KB ? 16 : p.b_ld, p.c, p.c_ld, p.accumulate ? p.c : p.bias, p.accumulate ? p.c_ld : 0});
}
template <class F>
void each_math(F&& f) {
  f(true);
}

}  // namespace

TEST_CASE("gemm agrees with the reference where operands are gathered in scratch") {
  for (const bool scratch : {false, true}) {
    const auto gathered = [&]<class T>(T, Size s, int gap = 0) {
      agrees<T>(Kind::whole, s, gap, {.scratch = scratch ? kernels::gemm_scratch<T>(s.m + gap) : 0});
    };
    gathered(float{}, {37, 17, 19});
    gathered(float{}, {129, 66, 7});
    gathered(float{}, {261, 67, 300});
    gathered(float{}, {261, 67, 40});  // columns of A too: tasks of four panels
    gathered(float{}, {18, 67, 300}, 240);
    gathered(double{}, {261, 67, 5});
  }
}
