// All kernels for Cuda: with this and <tenon/tenon.hpp> a unit compiled by nvcc trains and predicts on a GPU.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/cuda/activation.cuh"
#include "tenon/cuda/adam.cuh"
#include "tenon/cuda/avg_pool2d.cuh"
#include "tenon/cuda/batch_norm.cuh"
#include "tenon/cuda/binary_cross_entropy.cuh"
#include "tenon/cuda/conv2d.cuh"
#include "tenon/cuda/cross_entropy.cuh"
#include "tenon/cuda/dropout.cuh"
#include "tenon/cuda/elementwise.cuh"
#include "tenon/cuda/gather.cuh"
#include "tenon/cuda/global_avg_pool.cuh"
#include "tenon/cuda/layer_norm.cuh"
#include "tenon/cuda/linear.cuh"
#include "tenon/cuda/max_pool2d.cuh"
#include "tenon/cuda/mean_squared_error.cuh"
#include "tenon/cuda/permute.cuh"
#include "tenon/cuda/recorder.cuh"
#include "tenon/cuda/reduce.cuh"
#include "tenon/cuda/sgd.cuh"
