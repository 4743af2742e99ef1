// tests/train/conformance.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>

#include "cuda/support.hpp"

using Device = tenon::Cuda;
#include "train/conformance.hpp"
