// tests/kernels/permute.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/permute.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/permute.hpp"
