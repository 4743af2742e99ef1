// tests/layers/gradients_conv2d.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "layers/gradients_conv2d.hpp"
