// Words for the compiler. Every TENON_ macro that headers use is defined here; none is needed by consumers.
//
// Instruction sets are chosen at run time (cpu/isa.hpp), so a unit built with plain -O2 holds the AVX2 code too.
// Each function that touches a vector register says so itself: neither lambdas nor helpers inherit the attribute.
// SPDX-License-Identifier: MIT
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#define TENON_X86 1
#define TENON_AVX2 __attribute__((target("avx2,fma")))
#define TENON_AVX2_INLINE __attribute__((target("avx2,fma"), always_inline)) inline
#else
#define TENON_X86 0
#endif

#define TENON_INLINE __attribute__((always_inline)) inline
#define TENON_NOINLINE __attribute__((noinline))
#define TENON_RESTRICT __restrict__

// Before a loop over registers: -O2 unrolls no loop that would grow, and a register has no index.
#if defined(__clang__) || defined(__CUDA_ARCH__)
#define TENON_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)  // its front end hands the pragma on to g++, but warns that it does not know it
#define TENON_UNROLL \
  _Pragma("nv_diagnostic push") _Pragma("nv_diag_suppress 1675") _Pragma("GCC unroll 16") _Pragma("nv_diagnostic pop")
#else
#define TENON_UNROLL _Pragma("GCC unroll 16")
#endif

// Before a loop of a kernel that is to stay one: unrolled, it would want more registers than there are.
#if defined(__CUDA_ARCH__)
#define TENON_ROLLED _Pragma("unroll 1")
#else
#define TENON_ROLLED
#endif

// A function that both a host and a device compiler see.
#if defined(__CUDACC__)
#define TENON_HD __host__ __device__
#else
#define TENON_HD
#endif

// In one unit, outside of namespaces, after <tenon/train/session_of.hpp>: TENON_INSTANTIATE(Net, Device); defines what
// make_session<Net>(options, Device{}) calls, for units that cannot compile the kernels. Commas within a type are fine.
#define TENON_INSTANTIATE(...) template struct tenon::detail::SessionMaker<__VA_ARGS__>

#define TENON_VERSION_MAJOR 0
#define TENON_VERSION_MINOR 1
#define TENON_VERSION_PATCH 0
