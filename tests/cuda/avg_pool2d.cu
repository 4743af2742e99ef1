// tests/kernels/avg_pool2d.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/avg_pool2d.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/avg_pool2d.hpp"
