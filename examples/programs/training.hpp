// Training: a session with a type-erased network, so that the program is compiled once and not once per model. The
// networks are in training.cpp, a separate translation unit, because kernels take most of the compile time.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <tenon/train/session.hpp>

#include "device.hpp"

namespace program {

/// A session of the network `model`; null if there is none.
std::unique_ptr<tenon::AnySession> make_training(const std::string& model, const tenon::SessionOptions& options,
                                                 const DeviceChoice& device);
/// Defined in cuda.cu or without_cuda.cpp.
std::unique_ptr<tenon::AnySession> make_cuda_training(const std::string& model, const tenon::SessionOptions& options,
                                                      const DeviceChoice& device);

}  // namespace program
