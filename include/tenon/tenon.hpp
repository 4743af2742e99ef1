// tenon: everything for training and evaluating networks. For inference only, tenon/predict.hpp is smaller.
// Reading gz-compressed data needs zlib, so data/gz.hpp is not included.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/plan/plan.hpp"  // first, so that a long chain of includes does not precede its errors

#include "tenon/core/tensor.hpp"
#include "tenon/cpu/gather.hpp"
#include "tenon/data/dataset.hpp"
#include "tenon/data/images.hpp"
#include "tenon/layers.hpp"
#include "tenon/losses/binary_cross_entropy.hpp"
#include "tenon/losses/cross_entropy.hpp"
#include "tenon/losses/mean_squared_error.hpp"
#include "tenon/optimizers/adam.hpp"
#include "tenon/optimizers/sgd.hpp"
#include "tenon/predict.hpp"
#include "tenon/train/check_gradients.hpp"
#include "tenon/train/checkpoint.hpp"
#include "tenon/train/trainer.hpp"
