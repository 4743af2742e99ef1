// tests/kernels/adam.hpp on Cuda; bit for bit against the Cpu's vector code; recorded once and replayed.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/adam.hpp"
#include "tenon/cuda/adam.cuh"

#include "cuda/support.hpp"
#include "tenon/cpu/adam.hpp"
#include "tenon/cuda/recorder.cuh"

using Device = tenon::Cuda;
#include "kernels/adam.hpp"

namespace {

__global__ void powers(const double* base, const std::uint64_t* exponent, double* out, std::size_t n) {
  const std::size_t i = kernels::cuda::global_thread();
  if (i < n) out[i] = kernels::cuda::power(base[i], exponent[i]);
}

}  // namespace

TEST_CASE("cuda: adam's corrections are as near as a power that is rounded once") {
  std::vector<double> bases;
  std::vector<std::uint64_t> exponents;
  for (const double base : {0.0, 0.5, 0.8, 0.9, 0.99, 0.999, 0.9999})
    for (const std::uint64_t t :
         {1ull, 2ull, 3ull, 7ull, 42ull, 1000ull, 1001ull, 65535ull, 1000000ull, 4294967296ull}) {
      bases.push_back(base);
      exponents.push_back(t);
    }
  OnDevice<double> base(bases), out(bases.size());
  OnDevice<std::uint64_t> exponent(exponents);
  kernels::cuda::launch(cuda(), "powers", powers, {kernels::cuda::blocks_for(bases.size(), 32)}, {32}, 0, base.data(),
                        exponent.data(), out.data(), bases.size());
  const auto got = out.read();
  for (std::size_t i = 0; i < bases.size(); ++i) {
    INFO("base " << bases[i] << ", exponent " << exponents[i]);
    const double exact = static_cast<double>(1 - std::pow(static_cast<long double>(bases[i]), exponents[i]));
    CHECK(std::abs((1 - got[i]) - exact) <= exact * (0x1p-53 / (1 - bases[i]) + 0x1p-52));
  }
}

TEST_CASE("cuda: adam_update rounds as the Cpu's vectors") {
  if (detect_isa() != Isa::avx2) return;
  Cpu cpu;
  for (AdamCase at : cases())
    for (const std::uint32_t step : {0u, 1u, 11u, 41u, 999u, 999999u, 4294967295u}) {
      INFO("decay " << at.options.weight_decay << ", decoupled " << at.options.decoupled << ", step " << step);
      const std::size_t n = step == 11 ? 2053 : 5;
      auto want = numbers<float>(n, 1), want_m = numbers<float>(n, 3), want_v = numbers<float>(n, 4, 0, 1);
      const auto g0 = numbers<float>(n, 2);
      at.step.step = step;
      OnDevice<float> w(want), g(g0), m(want_m), v(want_v);
      adam_update(cpu, at.options, &at.step, Span<float>{want.data(), n}, {g0.data(), n}, Span<float>{want_m.data(), n},
                  Span<float>{want_v.data(), n});
      update(cuda(), at, w, g, m, v);
      CHECK(w.read() == want);
      CHECK(m.read() == want_m);
      CHECK(v.read() == want_v);
    }
}

TEMPLATE_TEST_CASE("cuda: a recorded adam_update reads the step that it is replayed in", "", float, double) {
  using T = TestType;
  const std::size_t n = 1027;
  for (AdamCase at : cases()) {
    INFO("decoupled " << at.options.decoupled);
    const auto w0 = numbers<T>(n, 1), m0 = numbers<T>(n, 2), v0 = numbers<T>(n, 3, 0, 1);
    OnDevice<T> w(w0), g(numbers<T>(n, 4)), m(m0), v(v0), want_w(w0), want_m(m0), want_v(v0);
    One<StepState> step(cuda());
    const auto graph =
        capture(cuda(), [&] { adam_update(cuda(), at.options, step, w.span(), g.const_span(), m.span(), v.span()); });
    for (const std::uint32_t done : {0u, 1u, 41u}) {
      at.step.step = done;
      at.step.learning_rate /= 2;
      update(cuda(), at, want_w, g, want_m, want_v);
      step.write(at.step);
      replay(cuda(), graph);
      CHECK(w.read() == want_w.read());
      CHECK(m.read() == want_m.read());
      CHECK(v.read() == want_v.read());
    }
    at.step.stopped = 1;
    step.write(at.step);
    replay(cuda(), graph);
    CHECK(w.read() == want_w.read());
  }
}
