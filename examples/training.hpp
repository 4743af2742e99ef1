// Training: a session whatever its network, so that the program around it is compiled once and not once a model.
// The networks are in training.cpp, a unit of its own: kernels are what takes long to compile.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <tenon/train/session.hpp>

#include "device.hpp"

namespace program {

/// The model of that name; null if there is none.
std::unique_ptr<tenon::AnySession> make_training(const std::string& model, const tenon::SessionOptions& options,
                                                 const DeviceChoice& device);
/// Of cuda.cu or without_cuda.cpp.
std::unique_ptr<tenon::AnySession> make_cuda_training(const std::string& model, const tenon::SessionOptions& options,
                                                      const DeviceChoice& device);

}  // namespace program
