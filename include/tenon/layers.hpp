// Includes every layer.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/layers/activation.hpp"
#include "tenon/layers/avg_pool2d.hpp"
#include "tenon/layers/batch_norm.hpp"
#include "tenon/layers/conv2d.hpp"
#include "tenon/layers/dropout.hpp"
#include "tenon/layers/flatten.hpp"
#include "tenon/layers/global_avg_pool.hpp"
#include "tenon/layers/layer_norm.hpp"
#include "tenon/layers/linear.hpp"
#include "tenon/layers/max_pool2d.hpp"
#include "tenon/layers/residual.hpp"
