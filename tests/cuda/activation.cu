// tests/kernels/activation.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/activation.cuh"

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "kernels/activation.hpp"
