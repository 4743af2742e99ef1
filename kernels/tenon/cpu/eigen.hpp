// The one place where Eigen is included: the portable path, as fixed-size tiles that allocate nothing.
// Eigen's symbols merge across units built with different flags, so nothing whose bits or speed depend on the
// instruction set goes through it; that is the hand-written tile's work.
// SPDX-License-Identifier: MIT
#pragma once

#ifndef EIGEN_NO_CUDA
#define EIGEN_NO_CUDA  // inside a .cu Eigen would otherwise give up its vector instructions on the host, too
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wdeprecated-enum-enum-conversion"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
