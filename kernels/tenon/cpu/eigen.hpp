// The only header that includes Eigen. The portable path uses it for fixed-size tiles, which allocate nothing.
// The linker merges Eigen's symbols from units that were built with different flags. Code whose bits or speed depend on the
// instruction set therefore does not use Eigen, but the hand-written tile (gemm_tile.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#ifndef EIGEN_NO_CUDA
#define EIGEN_NO_CUDA  // otherwise Eigen in a .cu file uses no vector instructions on the host either
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
