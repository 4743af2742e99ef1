// Isa: the hand-written path that the CPU kernels take. It is chosen once, at run time. TENON_ISA=portable|avx2 forces it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "tenon/core/config.hpp"
#include "tenon/core/error.hpp"

namespace tenon {

enum class Isa { portable, avx2 };

constexpr const char* name(Isa isa) { return isa == Isa::avx2 ? "avx2" : "portable"; }

/// The best path that this processor runs.
inline Isa detect_isa() {
#if TENON_X86
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::portable;
}

/// detect_isa(), unless the environment variable TENON_ISA names another path. Throws Error if the processor cannot run it,
/// or if there is no such path.
inline Isa choose_isa() {
  const Isa best = detect_isa();
  const char* forced = std::getenv("TENON_ISA");
  if (!forced || !*forced) return best;
  const std::string_view want = forced;
  if (want == "portable") return Isa::portable;
  if (want == "avx2" && best == Isa::avx2) return Isa::avx2;
  if (want == "avx2")
    throw Error("choose_isa", "expected a processor with AVX2 and FMA, got one without: unset TENON_ISA");
  throw Error("choose_isa", "expected TENON_ISA=portable or avx2, got " + std::string(want));
}

}  // namespace tenon
