// tests/kernels/global_avg_pool.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/global_avg_pool.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/global_avg_pool.hpp"
