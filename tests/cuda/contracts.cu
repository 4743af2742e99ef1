// tests/train/contracts.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "train/contracts.hpp"
