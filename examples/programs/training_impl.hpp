// Sessions of the networks on one device.
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/train/session_impl.hpp>

#include "models.hpp"
#include "training.hpp"

namespace program {

/// A session of the network `model` on `device`; null if there is none.
template <class Device>
std::unique_ptr<tenon::AnySession> make_training_on(Device device, const std::string& model,
                                                    const tenon::SessionOptions& options) {
  std::unique_ptr<tenon::AnySession> made;
  models::with_model(model,
                     [&]<class Net>(const Net*) { made = tenon::make_session<Net>(options, std::move(device)); });
  return made;
}

}  // namespace program
