// Compiler attributes and pragmas. This file defines every TENON_ macro that headers use. Consumers need none of them.
//
// Instruction sets are chosen at run time (core/isa.hpp), so a unit built with plain -O2 contains the AVX2 code too.
// Each function that uses a vector register has the attribute itself, because lambdas and helpers do not inherit it.
// SPDX-License-Identifier: MIT
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#define TENON_X86 1
#define TENON_AVX2 __attribute__((target("avx2,fma")))
#define TENON_AVX2_INLINE __attribute__((target("avx2,fma"), always_inline)) inline
#else
#define TENON_X86 0
#endif

// Whether arm_neon.h declares the SHA-256 instructions for a function with a target attribute. clang below 16 declares them
// only if the whole unit may use them.
#if defined(__aarch64__) && (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_SHA2))
#define TENON_ARM_SHA256 1
#else
#define TENON_ARM_SHA256 0
#endif

#define TENON_INLINE __attribute__((always_inline)) inline
#define TENON_NOINLINE __attribute__((noinline))
#define TENON_RESTRICT __restrict__

// Before a loop over registers, which must be unrolled because a register has no index. -O2 unrolls no loop whose code
// would grow.
#if defined(__clang__) || defined(__CUDA_ARCH__)
#define TENON_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)  // its front end passes the pragma to g++, but warns that it does not know the pragma
#define TENON_UNROLL \
  _Pragma("nv_diagnostic push") _Pragma("nv_diag_suppress 1675") _Pragma("GCC unroll 16") _Pragma("nv_diagnostic pop")
#else
#define TENON_UNROLL _Pragma("GCC unroll 16")
#endif

// Before a loop of a kernel that must not be unrolled, because it would then need more registers than there are.
#if defined(__CUDA_ARCH__)
#define TENON_ROLLED _Pragma("unroll 1")
#else
#define TENON_ROLLED
#endif

// Around the code of every header that does arithmetic. They select IEEE arithmetic even if the including unit is compiled
// with -ffast-math or similar flags. The bits of exp, sums and tests for NaN depend on it. The linker keeps one copy of a
// function that several units contain, so all copies must compute the same. The pragma applies to templates, lambdas and
// members, wherever they are instantiated. Code that the headers call from elsewhere (std::max, Eigen) keeps the unit's
// flags. Tests for NaN or infinity therefore compare bits: is_finite in core/math.hpp.
// g++ does not inline such a function into code with other flags, so plain accessors (core/view.hpp) are outside.
#if defined(__clang__) && (defined(__x86_64__) || defined(__aarch64__))
#define TENON_IEEE_MATH_BEGIN _Pragma("float_control(precise, on, push)") _Pragma("clang fp contract(off)")
#define TENON_IEEE_MATH_END _Pragma("float_control(pop)")
#elif defined(__CUDACC__)  // its front end passes the pragma to g++, but warns that it does not know the pragma
#define TENON_IEEE_MATH_BEGIN                                                                \
  _Pragma("nv_diagnostic push") _Pragma("nv_diag_suppress 1675") _Pragma("GCC push_options") \
      _Pragma("GCC optimize(\"no-fast-math\")") _Pragma("nv_diagnostic pop")
#define TENON_IEEE_MATH_END _Pragma("GCC pop_options")
#elif defined(__GNUC__) && !defined(__clang__)
#define TENON_IEEE_MATH_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"no-fast-math\")")
#define TENON_IEEE_MATH_END _Pragma("GCC pop_options")
#elif defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error \
    "[tenon] expected IEEE arithmetic, got -ffast-math or -ffinite-math-only and a compiler that cannot undo it: add -fno-fast-math for this file"
#else
#define TENON_IEEE_MATH_BEGIN
#define TENON_IEEE_MATH_END
#endif

// A function for the host and for kernels.
#if defined(__CUDACC__)
#define TENON_HD __host__ __device__
#else
#define TENON_HD
#endif

// TENON_INSTANTIATE(Net, Device); belongs in one unit, outside of namespaces, after <tenon/train/session_impl.hpp>. It
// defines the function that make_session<Net>(options, Device{}) calls in units that cannot compile the kernels. The types
// may contain commas.
#define TENON_INSTANTIATE(...) template struct tenon::detail::SessionMaker<__VA_ARGS__>

#define TENON_VERSION_MAJOR 0
#define TENON_VERSION_MINOR 1
#define TENON_VERSION_PATCH 0
