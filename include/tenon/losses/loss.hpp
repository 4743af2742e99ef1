// The contract between a loss and a model. A loss is a value with
//   using Target = ...;                                   the element type of its targets
//   static constexpr int targets_a_sample<Outputs>();     1, or one for each output
//   LossSums operator()(device, In<T, Batch, C> outputs, const Target* targets, Out<T, Batch, C> gradient) const;
// The gradient is that of the mean over the batch; a null view asks for the sums alone.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/core/arguments.hpp"
#include "tenon/core/view.hpp"
