// SPDX-License-Identifier: MIT
// [doc:gpu]
// gpu.cu: compiled by nvcc, and needed once for each network.
#include <tenon/cuda.cuh>
#include <tenon/train/session_impl.hpp>

#include "network.hpp"

TENON_INSTANTIATE(Net, tenon::Cpu);
TENON_INSTANTIATE(Net, tenon::Cuda);
// [end]
